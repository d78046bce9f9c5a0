//! The table in `docs/providers.md` is what the presets say.

use std::fs;
use std::path::Path;

use hookwire::provider::{Authentication, BodyForm, Provider};

#[test]
fn the_table_of_providers_is_what_the_presets_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/providers.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the beginning of the table is marked");
    let (_, after) = rest.split_once(END).expect("the end of the table is marked");
    let expected = format!("{before}{BEGIN}\n{}{END}{after}", table());
    if std::env::var_os("HOOKWIRE_WRITE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(text == expected, "run the test with HOOKWIRE_WRITE_DOCS=1, which writes the table");
}

fn table() -> String {
    let mut table = String::from(
        "| name | provider | proof | covers the body | time | id signed | challenges | watch for | proven by |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for provider in Provider::all() {
        let yes = |is: bool| if is { "yes" } else { "no" };
        let signs_time = provider.scheme().is_some_and(|scheme| scheme.signs_time());
        let challenges: Vec<_> = provider.challenges().iter().map(|challenge| challenge.method()).collect();
        let mut watch = provider.notes().to_owned();
        if provider.needs_url() {
            watch += " Set the URL.";
        }
        if provider.sends_several() {
            watch += " Several events in a request.";
        }
        if provider.bodies().contains(&BodyForm::Form) {
            watch += " Forms.";
        }
        table += &format!(
            "| `{}` | [{}]({}) | {} | {} | {} | {} | {} | {} | {} |\n",
            provider.name(),
            provider.title(),
            provider.documentation(),
            proof(provider),
            yes(provider.signs_body()),
            yes(signs_time),
            yes(provider.signs_id()),
            challenges.join(", "),
            watch.trim(),
            provider.evidence().as_str(),
        );
    }
    table
}

fn proof(provider: &Provider) -> &'static str {
    match provider.authentication() {
        Authentication::Scheme(scheme) => scheme.algorithm().name(),
        Authentication::Token(_) => "shown secret",
        Authentication::Jwt(_) => "JSON Web Token",
        Authentication::HttpSignature(_) => "RFC 9421",
        Authentication::Sns(_) => "Amazon SNS",
        Authentication::PayPal => "RSA-SHA256",
        _ => "none",
    }
}

const BEGIN: &str = "<!-- providers: begin -->";
const END: &str = "<!-- providers: end -->";
