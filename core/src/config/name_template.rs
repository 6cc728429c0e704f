//! `service_name_template`: as much of Go's templates as the names of services are made with.

use std::str::FromStr;

use crate::kubernetes::{Container, PodFact};

/// A template over what is known of a container and of its pod.
///
/// It has text, values (`{{ .Meta.Name }}`, `{{ .Meta.Namespace }}`, `{{ .ContainerName }}`, `{{ index .Meta.Labels "KEY" }}`,
/// `{{ index .Meta.Annotations "KEY" }}`), `{{ if VALUE }}`, `{{ else }}` and `{{ end }}`; a hyphen as in `{{-` or `-}}` takes
/// away the white space next to it. As in Beyla, the first line that comes out is the name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct NameTemplate {
    parts: Vec<Part>,
}

/// A piece of what comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// It does where each of these values is there, or is not.
    when: Vec<(Value, bool)>,
    piece: Piece,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Value),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Fact(PodFact),
    Label(String),
    Annotation(String),
}

/// What an action may be, for messages.
const POSSIBLE: &str = "possible are `.Meta.Name`, `.Meta.Namespace`, `.ContainerName`, `index .Meta.Labels \"KEY\"`, \
                        `index .Meta.Annotations \"KEY\"`, and `if` with one of these, `else` and `end`";

impl NameTemplate {
    /// The name of what runs in `container`; `None` where nothing comes out, or nobody has told of its pod so far.
    pub(crate) fn name(&self, container: &Container) -> Option<String> {
        container.pod.as_ref()?;
        let shown = |part: &&Part| part.when.iter().all(|(value, there)| value.of(container).is_empty() != *there);
        let pieces = self.parts.iter().filter(shown).map(|part| match &part.piece {
            Piece::Text(text) => text,
            Piece::Value(value) => value.of(container),
        });
        let text: String = pieces.collect();
        let name = text.lines().next()?.trim();
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// The annotations of pods that it asks about.
    pub(super) fn annotations(&self) -> impl Iterator<Item = &str> {
        let conditions = self.parts.iter().flat_map(|part| &part.when).map(|(value, _)| value);
        let values = self.parts.iter().filter_map(|part| match &part.piece {
            Piece::Value(value) => Some(value),
            Piece::Text(_) => None,
        });
        conditions.chain(values).filter_map(|value| match value {
            Value::Annotation(key) => Some(key.as_str()),
            Value::Fact(_) | Value::Label(_) => None,
        })
    }
}

impl Value {
    fn of<'a>(&self, container: &'a Container) -> &'a str {
        let pod = container.pod.as_ref();
        let value = match self {
            Self::Fact(fact) => container.fact(*fact),
            Self::Label(key) => pod.and_then(|pod| pod.label(key)),
            Self::Annotation(key) => pod.and_then(|pod| pod.annotation(key)),
        };
        value.unwrap_or_default()
    }
}

impl FromStr for Value {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            ".Meta.Name" => return Ok(Self::Fact(PodFact::Name)),
            ".Meta.Namespace" => return Ok(Self::Fact(PodFact::Namespace)),
            ".ContainerName" => return Ok(Self::Fact(PodFact::Container)),
            _ => {}
        }
        let (of, key) = text.strip_prefix("index").map(str::trim_start).and_then(|of| of.split_once(' ')).ok_or(())?;
        let key = key.trim_start();
        let quoted = |quote: char| key.strip_prefix(quote).and_then(|key| key.strip_suffix(quote));
        let key = quoted('"').or_else(|| quoted('`')).filter(|key| !key.contains(['"', '`', '\\'])).ok_or(())?;
        match of {
            ".Meta.Labels" => Ok(Self::Label(key.into())),
            ".Meta.Annotations" => Ok(Self::Annotation(key.into())),
            _ => Err(()),
        }
    }
}

impl FromStr for NameTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut when: Vec<(Value, bool)> = Vec::new();
        let mut rest = text;
        let mut trim = false;
        loop {
            let (before, action) = rest.split_once("{{").map_or((rest, None), |(before, rest)| (before, Some(rest)));
            let left = action.is_some_and(|action| action.starts_with("- "));
            let before = if trim { before.trim_start() } else { before };
            let before = if left { before.trim_end() } else { before };
            if !before.is_empty() {
                parts.push(Part { when: when.clone(), piece: Piece::Text(before.into()) });
            }
            let Some(action) = action else { break };
            let (action, after) = action.split_once("}}").ok_or("a `{{` has no `}}` behind it")?;
            rest = after;
            trim = action.ends_with(" -");
            let action = if left { action.get(1..).unwrap_or_default() } else { action };
            let action = if trim { action.strip_suffix('-').unwrap_or(action) } else { action };
            let action = action.trim();
            let value = |text: &str| {
                text.parse().map_err(|()| format!("`{{{{ {action} }}}}` is not possible here; {POSSIBLE}"))
            };
            match (action, action.strip_prefix("if ")) {
                ("else", _) => match when.last_mut() {
                    Some((_, there)) if *there => *there = false,
                    _ => return Err("an `{{ else }}` has no `{{ if }}` before it".into()),
                },
                ("end", _) => {
                    when.pop().ok_or("an `{{ end }}` has no `{{ if }}` before it")?;
                }
                (_, Some(condition)) => when.push((value(condition.trim())?, true)),
                (_, None) => parts.push(Part { when: when.clone(), piece: Piece::Value(value(action)?) }),
            }
        }
        if when.is_empty() { Ok(Self { parts }) } else { Err("an `{{ if }}` has no `{{ end }}` behind it".into()) }
    }
}

impl TryFrom<String> for NameTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kubernetes::Pod;

    fn container(id: &str) -> Container {
        let pod = Pod::from_facts([
            ("k8s.pod.uid", "u"),
            ("k8s.pod.name", "web-1"),
            ("k8s.namespace.name", "shop"),
            ("container.id", "a"),
            ("k8s.container.name", "app"),
            ("k8s.pod.label.app.kubernetes.io/name", "web"),
            ("k8s.pod.annotation.note", "x"),
        ]);
        Container { id: id.into(), pod: pod.map(Arc::new) }
    }

    #[test]
    fn a_name_is_made_of_what_is_known() {
        const DOCUMENTED: &str = "{{- .Meta.Namespace }}/{{ index .Meta.Labels \"app.kubernetes.io/name\" }}/\
            {{ index .Meta.Labels \"app.kubernetes.io/component\" -}}{{ if .ContainerName }}/{{ .ContainerName -}}{{ end -}}\n";
        for (template, id, name) in [
            (DOCUMENTED, "a", Some("shop/web//app")),
            (DOCUMENTED, "of no container", Some("shop/web/")),
            ("{{.Meta.Name}}", "a", Some("web-1")),
            ("  a  {{- .Meta.Name -}}  b\nc", "a", Some("aweb-1b")),
            ("{{ index .Meta.Annotations `note` }}", "a", Some("x")),
            ("{{if .ContainerName}}in{{else}}out{{end}}", "a", Some("in")),
            ("{{if .ContainerName}}in{{else}}out{{end}}", "", Some("out")),
            ("{{if .ContainerName}}{{if .Meta.Name}}both{{end}}{{else}}none{{end}}", "a", Some("both")),
            ("{{ index .Meta.Labels \"missing\" }}", "a", None),
            ("", "a", None),
        ] {
            let parsed: NameTemplate = template.parse().unwrap();
            assert_eq!(parsed.name(&container(id)).as_deref(), name, "{template}");
        }
        let anything: NameTemplate = "x".parse().unwrap();
        assert_eq!(anything.name(&Container { id: "a".into(), pod: None }), None);
    }

    #[test]
    fn what_is_not_possible_is_told() {
        for (template, expected) in [
            ("a {{ .Meta.Name", "has no `}}`"),
            ("{{ .Meta.Labels | first }}", "`{{ .Meta.Labels | first }}` is not possible here; possible are"),
            ("{{ .Host }}", "is not possible here"),
            ("{{ index .Meta.Labels name }}", "is not possible here"),
            ("{{ if .Meta.Name }}", "has no `{{ end }}`"),
            ("{{ else }}", "`{{ else }}` has no"),
            ("{{ if .Meta.Name }}{{ else }}{{ else }}{{ end }}", "`{{ else }}` has no"),
            ("{{ end }}", "`{{ end }}` has no"),
        ] {
            let error = template.parse::<NameTemplate>().unwrap_err();
            assert!(error.contains(expected), "{template}: {error}");
        }
    }

    #[test]
    fn annotations_that_it_asks_about() {
        let text = "{{ if index .Meta.Annotations \"a\" }}{{ index .Meta.Annotations \"b\" }}{{ end }}{{ .Meta.Name }}";
        let template: NameTemplate = text.parse().unwrap();
        let asked: std::collections::BTreeSet<_> = template.annotations().collect();
        assert_eq!(asked, ["a", "b"].into());
    }
}
