//! The language that a process is written in, as far as recorded facts tell.

use crate::facts::ProcessInfo;

/// Interpreters and virtual machines, by how the names of their executables begin, and their languages (OpenTelemetry,
/// `telemetry.sdk.language`).
const INTERPRETERS: [(&str, &str); 8] = [
    ("python", "python"),
    ("node", "nodejs"),
    ("java", "java"),
    ("ruby", "ruby"),
    ("php", "php"),
    ("dotnet", "dotnet"),
    ("perl", "perl"),
    ("beam.smp", "erlang"),
];

impl ProcessInfo {
    /// The language that it is written in, if it runs in an interpreter that is known by name. `None` says nothing: the tape
    /// does not have what tells Go from C.
    pub fn language(&self) -> Option<&'static str> {
        let name = self.executable();
        let version = |rest: &str| rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'));
        let of = |(prefix, language): (&str, &'static str)| {
            let rest = name.strip_prefix(prefix)?.trim_start_matches("js").trim_start_matches("-fpm");
            version(rest).then_some(language)
        };
        INTERPRETERS.into_iter().find_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_known_by_name() {
        for (exe, language) in [
            ("/usr/bin/python3.11", Some("python")),
            ("/usr/bin/node", Some("nodejs")),
            ("/usr/bin/nodejs", Some("nodejs")),
            ("/usr/sbin/php-fpm8.2", Some("php")),
            ("/opt/jdk/bin/java (deleted)", Some("java")),
            ("/usr/bin/node_exporter", None),
            ("/srv/shop", None),
            ("", None),
        ] {
            let process = ProcessInfo { exe: exe.into(), ..ProcessInfo::default() };
            assert_eq!(process.language(), language, "{exe}");
        }
    }
}
