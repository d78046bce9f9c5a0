//! [`tls_config`]: the TLS configuration that is used unless the caller sets another.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, ErrorKind};

/// Makes a configuration with these root certificates, or Mozilla's, and `extra_roots` besides.
pub(in crate::transport) fn tls_config(
    provider: Option<Arc<CryptoProvider>>,
    roots: Option<Vec<CertificateDer<'static>>>,
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, Error> {
    let mut store = RootCertStore::empty();
    if roots.is_none() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in roots.into_iter().flatten().chain(extra_roots) {
        store.add(root).map_err(|error| {
            Error::new(ErrorKind::Client, "root certificate is malformed")
                .with_expected("an X.509 certificate in DER")
                .with_source(error)
        })?;
    }
    // Never the process-wide default: two providers in one tree make rustls panic when it must guess.
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Error::new(ErrorKind::Client, "crypto provider supports neither TLS 1.2 nor TLS 1.3")
                .with_source(error)
        })?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// Sets the protocols of HTTP, and switches off early data, which could be replayed.
pub(in crate::transport) fn over_http(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.enable_early_data = false;
    config
}
