//! Spans on standard output, as they come: in redtape's forms, or as Beyla's `trace_printer` has them.

use std::io::{self, Write};

use redtape_core::Span;
use redtape_core::config::{Config, TracePrinter};

use crate::cli::SpanFormat;
use crate::cmd::unwritable;
use crate::failure::Result;
use crate::sink::{Now, OutputSink};
use crate::stdout::Output;
use crate::write::{write_beyla_json, write_beyla_text, write_span_json, write_span_text};

/// Prints spans, or none.
pub(crate) struct Printer<'a> {
    pub(crate) out: &'a mut Output,
    form: Form,
    count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Own(SpanFormat),
    Beyla(TracePrinter),
}

impl<'a> Printer<'a> {
    /// As the command line says, else as the configuration does.
    pub(crate) fn new(out: &'a mut Output, asked: Option<SpanFormat>, config: &Config) -> Self {
        Self { out, form: asked.map_or(Form::Beyla(config.printer()), Form::Own), count: 0 }
    }

    /// As Beyla does.
    pub(crate) const fn as_beyla(out: &'a mut Output, printer: TracePrinter) -> Self {
        Self { out, form: Form::Beyla(printer), count: 0 }
    }

    /// Prints nothing but what is printed at the end.
    pub(crate) fn silent(self) -> Self {
        Self { form: Form::Beyla(TracePrinter::Disabled), ..self }
    }

    /// Says how many spans there were, if that is wanted.
    pub(crate) fn finish(&mut self) -> Result {
        if self.form == Form::Beyla(TracePrinter::Counter) {
            writeln!(self.out, "Processed {} requests", self.count).map_err(unwritable)?;
        }
        self.out.flush().map_err(unwritable)
    }

    fn print(&mut self, span: &Span) -> io::Result<()> {
        match self.form {
            Form::Own(SpanFormat::Text) => write_span_text(self.out, span),
            Form::Own(SpanFormat::Json) => write_span_json(self.out, span),
            Form::Beyla(TracePrinter::Text) => write_beyla_text(self.out, span),
            Form::Beyla(TracePrinter::Json) => write_beyla_json(self.out, span, false),
            Form::Beyla(TracePrinter::JsonIndent) => write_beyla_json(self.out, span, true),
            Form::Beyla(TracePrinter::Disabled | TracePrinter::Counter) => Ok(()),
        }
    }
}

impl OutputSink for Printer<'_> {
    fn span(&mut self, span: &Span) -> Result {
        self.count += 1;
        self.print(span).map_err(unwritable)
    }

    fn attend(&mut self, _: Now<'_>) -> Result {
        self.out.flush().map_err(unwritable)
    }

    fn wants_spans(&self) -> bool {
        self.form != Form::Beyla(TracePrinter::Disabled)
    }

    fn is_closed(&self) -> bool {
        self.wants_spans() && self.out.closed()
    }
}
