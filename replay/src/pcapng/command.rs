//! `export`: tapes in the formats of other tools.

use std::path::PathBuf;

use redtape_core::Count;
use redtape_core::edit::merged_meta;
use redtape_core::tape::{EventSource, Merge, Meta, ReadReport};

use super::args::ExportArgs;
use super::convert::{Converter, Exported};
use super::file::File;
use crate::destination::Destination;
use crate::failure::Result;
use crate::input::{Tape, read_failure};
use crate::run::warn_of_gap;

pub(crate) fn run(args: &ExportArgs) -> Result {
    let create = |path: &PathBuf| Destination::create(path, args.force, &args.input.tapes);
    let tapes = Tape::open_all(&args.input.tapes)?;
    tapes.iter().filter(|_| args.quiet).for_each(Tape::hush);
    let mut packets = create(&args.pcapng)?;
    let script = args.decode_as_script.as_ref().map(create).transpose()?;
    let exported = write(tapes, args, &mut packets)?;
    packets.finish()?;
    if let Some(script) = script {
        script.write_whole(exported.protocols.script(&args.pcapng.to_string_lossy()).as_bytes())?;
    }
    if !args.quiet {
        report(&exported, args);
    }
    Ok(())
}

fn write(tapes: Vec<Tape>, args: &ExportArgs, out: &mut Destination) -> Result<Exported> {
    let unwritable = out.failed();
    let metas: Vec<_> = tapes.iter().map(|tape| tape.reader.meta().clone()).collect();
    let (names, readers): (Vec<_>, Vec<_>) = tapes.into_iter().map(|tape| (tape.name, tape.reader)).unzip();
    let mut merge = Merge::new(readers).map_err(|error| read_failure("the tapes", &error))?;
    let file = File::new(out, &system(&metas)).map_err(&unwritable)?;
    let mut converter = Converter::new(file, &meta_of(&metas)).map_err(&unwritable)?;
    loop {
        let name = names.get(merge.current()).cloned().unwrap_or_default();
        match merge.next_event() {
            Ok(Some(event)) => converter.push(&event).map_err(&unwritable)?,
            Ok(None) => break,
            Err(error) => return Err(read_failure(&name, &error)),
        }
    }
    for gap in merge.gaps().iter().filter(|_| !args.quiet) {
        warn_of_gap(gap);
    }
    let reports: Vec<(String, ReadReport)> = names.into_iter().zip(merge.reports().into_values()).collect();
    reports.iter().try_for_each(|(name, report)| Tape::check(name, report, args.input.strict, args.quiet))?;
    let whole = !reports.iter().any(|(_, report)| report.truncated);
    let remark = |exported: &Exported| match exported.protocols.options() {
        options if options.is_empty() => String::new(),
        options => format!("tshark {options}"),
    };
    let (exported, _) = converter.finish(whole, remark).map_err(&unwritable)?;
    Ok(exported)
}

/// What the tape within the capture says of itself: what the tape says, or, of several, only what is true of all.
fn meta_of(metas: &[Meta]) -> Meta {
    match metas {
        [meta] => meta.of_copy(),
        _ => Meta {
            tool: concat!("redtape export ", env!("CARGO_PKG_VERSION")).into(),
            ..merged_meta(&metas.iter().collect::<Vec<_>>())
        },
    }
}

/// Where the tapes were recorded.
fn system(metas: &[Meta]) -> String {
    let [meta] = metas else { return String::new() };
    [meta.kernel.as_str(), meta.arch.as_str()].join(" ").trim().to_owned()
}

fn report(exported: &Exported, args: &ExportArgs) {
    let (packets, connections) = (Count(exported.packets, "packet"), Count(exported.connections, "connection"));
    eprintln!("{}: {packets} of {connections}", args.pcapng.display());
    if exported.encrypted > 0 {
        eprintln!("left out, as only TLS records of them are on the tape: {}", Count(exported.encrypted, "connection"));
    }
    let options = exported.protocols.options();
    if !options.is_empty() {
        eprintln!("to dissect all of it: tshark {options} -r {}", args.pcapng.display());
        eprintln!("without these options, tshark misses HTTP/2, and HTTP on ports that it does not know");
    }
}
