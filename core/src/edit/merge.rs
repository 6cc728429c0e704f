//! META of one tape that is made of several.

use crate::ids::Origin;
use crate::tape::Meta;

/// META of a tape that has the events of several, of which the first has this one's clock. What they do not have in common is the
/// first one's, but for the origin: of several there is none. Which recording is of which host is kept.
pub fn merged_meta(metas: &[&Meta]) -> Meta {
    let Some((first, rest)) = metas.split_first() else { return Meta::default() };
    if rest.is_empty() {
        return (*first).clone();
    }
    let all = |same: &dyn Fn(&Meta) -> bool| rest.iter().all(|meta| same(meta));
    let text =
        |of: fn(&Meta) -> &String| if all(&|meta| of(meta) == of(first)) { of(first).clone() } else { String::new() };
    let name: String = metas.iter().map(|meta| meta.tape.map(|byte| format!("{byte:02x}")).concat()).collect();
    let hosts = metas.iter().flat_map(|meta| meta.hosts()).collect();
    let redactions = metas.iter().filter(|meta| !meta.redaction.is_empty()).count();
    let mut merged = Meta {
        origin: if all(&|meta| meta.origin == first.origin) { first.origin } else { Origin::default() },
        host: text(|meta| &meta.host),
        kernel: text(|meta| &meta.kernel),
        arch: text(|meta| &meta.arch),
        cpus: if all(&|meta| meta.cpus == first.cpus) { first.cpus } else { 0 },
        // A tape that is not redacted makes one that is not.
        redaction: if redactions == metas.len() { text(|meta| &meta.redaction) } else { String::new() },
        started: metas.iter().map(|meta| meta.started).filter(|at| at.unix_nanos() > 0).min().unwrap_or_default(),
        ..first.of_part(&name)
    };
    merged.set_hosts(&hosts);
    merged
}

/// Which of several tapes are given again: the place of each, and that of the one that it is a copy of.
pub fn duplicates(metas: &[&Meta]) -> Vec<(usize, usize)> {
    let same = |a: &Meta, b: &Meta| a.tape == b.tape && a.tape != [0; 16];
    let number_of = |(at, meta): (usize, &&Meta)| {
        metas.iter().take(at).position(|before| same(before, meta)).map(|before| (at, before))
    };
    metas.iter().enumerate().filter_map(number_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tapes_have_in_common_stays() {
        let tape = |number: u8, host: &str| Meta {
            tape: [number; 16],
            origin: Origin([number / 2; 16]),
            host: host.into(),
            kernel: "6.1".into(),
            ..Meta::default()
        };
        let [one, other, third] = [tape(2, "a"), tape(3, "a"), tape(4, "b")];
        let two = merged_meta(&[&one, &other]);
        assert_eq!((two.origin, two.host.as_str(), two.kernel.as_str()), (Origin([1; 16]), "a", "6.1"));
        let three = merged_meta(&[&one, &other, &third]);
        assert_eq!((three.origin, three.host.as_str()), (Origin::default(), ""));
        let hosts = |meta: &Meta| meta.hosts().map(|(origin, host)| (origin.0[0], host.to_owned())).collect::<Vec<_>>();
        assert_eq!(hosts(&three), [(1, "a".to_owned()), (2, "b".to_owned())]);
        assert_eq!(hosts(&merged_meta(&[&third, &three])), hosts(&three), "of what was merged before, too");
        assert!(two.tape != three.tape && two.tape != one.tape);
        assert_eq!(duplicates(&[&one, &other, &one]), [(2, 0)]);
    }
}
