//! What a spec may require of the program.

use redtape_core::config::did_you_mean;

use super::spec::Requires;

/// What this program can do, by the names that specs use.
const FEATURES: [&str; 7] = ["grpc", "http1", "http2", "pcap", "synth", "tls", "websocket"];

/// What of it this program lacks, in words.
pub(crate) fn unmet(requires: &Requires) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    if let Some(version) = requires.min_version.as_deref().filter(|version| numbers(version) > numbers(own)) {
        return Some(format!("requires redtape {version}, this is {own}"));
    }
    let lacking = requires.features.iter().find(|feature| !FEATURES.contains(&feature.as_str()))?;
    let advice = did_you_mean(lacking, &FEATURES).map_or(String::new(), |near| format!(" (is `{near}` meant?)"));
    Some(format!("requires `{lacking}`, which this redtape does not know{advice}"))
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_said() {
        let unmet = |features: &[&str], version: Option<&str>| {
            let features = features.iter().map(ToString::to_string).collect();
            unmet(&Requires { features, min_version: version.map(Into::into) })
        };
        assert_eq!(unmet(&["http2", "grpc"], Some("0.0.9")), None);
        assert!(unmet(&["htpp2"], None).is_some_and(|reason| reason.contains("`http2`")));
        assert!(unmet(&[], Some("99.1")).is_some_and(|reason| reason.contains("99.1")));
    }
}
