//! [`tls_config`]: the TLS configuration that is used unless the caller sets another; [`Tls`]: a client's
//! TLS, with and without a certificate of its own.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::error::{Error, ErrorKind};
use crate::outcome::{ErrorClass, FailureReason};
use crate::transport::error::{OwnFault, TransportError};
use crate::transport::identity::ClientIdentity;

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

/// Sets the protocols of HTTP. Switches off early data, which could be replayed, and the resumption of
/// sessions: a resumed session has the certificate of an earlier one, which nobody verifies again.
pub(in crate::transport) fn over_http(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    config
}

/// The TLS of a client.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    pub(super) connector: TlsConnector,
}

impl Tls {
    pub(super) fn new(config: ClientConfig) -> Self {
        let config = Arc::new(config);
        Self { connector: TlsConnector::from(Arc::clone(&config)), config }
    }

    /// The same, with a certificate to present.
    pub(super) fn identified(&self, identity: &ClientIdentity) -> Result<TlsConnector, TransportError> {
        let unusable = |message: &'static str| {
            TransportError::new(ErrorClass::Internal, message)
                .with_reason(FailureReason::ClientCertificate)
                .with_own_fault(OwnFault::ClientCertificate)
                .with_maybe_sent(false)
        };
        let chain = identity.chain().iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::try_from(identity.key().to_vec())
            .map_err(|_| unusable("key of the client certificate is not readable"))?;
        // The cause is left out, because it tells of the key.
        let certified = CertifiedKey::from_der(chain, key, self.config.crypto_provider())
            .map_err(|_| unusable("key of the client certificate does not fit the certificate"))?;
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
