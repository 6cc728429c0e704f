//! The programs of `tests/programs`: one for each language and library, all of them with the same conversation.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::binary::target;
use crate::{Process, Recorder, Recording, Requirement, Result, Server, binary};

const BUILD: Duration = Duration::from_secs(300);

/// A program that serves (`serve PROTOCOL`) and asks (`call PROTOCOL URL`).
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What it is called: the language, and the library where there are two.
    pub name: &'static str,
    /// What a machine needs to run it.
    pub needs: &'static [Requirement],
    /// What it is made of.
    pub source: Source,
}

/// What a program is made of, with paths from `tests/programs`.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A script that runs by itself.
    Script(&'static str),
    /// An interpreter, from `PATH` or from the tools that `ci/install` has made, and its script.
    Interpreted(&'static str, &'static str),
    /// A page of PHP, which is a server by an option.
    Php(&'static str),
    /// A Java class, compiled by `javac`.
    Java(&'static str),
    /// A C# source and the assemblies of .NET that it uses.
    DotNet(&'static str, &'static [&'static str]),
    /// A C++ source and the libraries that it is linked with.
    Cpp(&'static str, &'static [&'static str]),
    /// A folder with a Go module.
    Go(&'static str),
    /// A folder with a Go program outside of modules, which finds its libraries where Debian puts their sources.
    GoOfDebian(&'static str),
    /// A binary of this workspace.
    Rust(&'static str),
}

/// How many requests there are in a conversation, by method, path and status.
pub type Conversation = BTreeMap<(String, String, String), usize>;

/// What every program asks, in all: four workers, ten requests each.
pub fn conversation() -> Conversation {
    [
        (20, "GET", "/hello", "200"),
        (8, "GET", "/missing", "404"),
        (8, "POST", "/echo", "200"),
        (4, "GET", "/chunks", "200"),
    ]
    .into_iter()
    .map(|(count, method, path, status)| ((method.to_owned(), path.to_owned(), status.to_owned()), count))
    .collect()
}

impl Program {
    /// Starts it as a server, and records it and `client` while they talk.
    pub fn record_calls_of(&self, client: &Self, protocol: &str) -> Result<Recording> {
        let folder = TempDir::new()?;
        let server = self.start(protocol, folder.path())?;
        let url = format!("{}://127.0.0.1:{}", if has_tls(protocol) { "https" } else { "http" }, server.port());
        let mut arguments = ["--port", &server.port().to_string(), "--"].map(OsString::from).to_vec();
        arguments.extend(client.words(["call", protocol, &url])?);
        let mut recorder = Command::new(binary("redtape-capture")?);
        let recording = Recorder::start_with(recorder.env("TLS_FOLDER", folder.path()), arguments)?.wait()?;
        let recorder = &recording.recorder;
        if !recorder.status.success() {
            return Err(format!("the client failed: {}{}", recorder.stdout, recorder.stderr).into());
        }
        Ok(recording)
    }

    /// Starts it as a server, with a certificate in `folder` where the protocol needs one.
    pub fn start(&self, protocol: &str, folder: &Path) -> Result<Server> {
        if has_tls(protocol) {
            certificate(folder)?;
        }
        let marker = if matches!(self.source, Source::Php(_)) { "Development Server" } else { "listening on" };
        Server::start(self.serve(protocol)?.env("TLS_FOLDER", folder), marker)
    }

    /// The command of its server, built if need be.
    fn serve(&self, protocol: &str) -> Result<Command> {
        let words = match self.source {
            Source::Php(page) => {
                ["php", "-S", "127.0.0.1:0"].map(OsString::from).into_iter().chain([script(page)]).collect()
            }
            _ => self.words(["serve", protocol])?,
        };
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        Ok(command)
    }

    fn words<const N: usize>(&self, arguments: [&str; N]) -> Result<Vec<OsString>> {
        let mut words = match self.source {
            Source::Script(path) => vec![script(path)],
            Source::Interpreted(interpreter, path) => vec![tool(interpreter)?.into(), script(path)],
            Source::Php(path) => vec!["php".into(), script(path)],
            Source::Java(path) => java(path)?,
            Source::DotNet(path, assemblies) => dotnet(path, assemblies)?,
            Source::Cpp(path, libraries) => vec![cpp(path, libraries)?.into()],
            Source::Go(folder) => vec![go(folder, &[])?.into()],
            Source::GoOfDebian(folder) => vec![go(folder, &GO_OF_DEBIAN)?.into()],
            Source::Rust(name) => vec![binary(name)?.into()],
        };
        words.extend(arguments.map(OsString::from));
        Ok(words)
    }
}

fn has_tls(protocol: &str) -> bool {
    matches!(protocol, "https" | "h2" | "grpcs")
}

/// The folder of what `ci/install` has made, in which programs are built too.
pub(crate) fn tools() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or("the test is not in a target folder")?;
    Ok(target(profile)?.join("tools"))
}

/// Makes `cert.pem` and `key.pem` for 127.0.0.1, and `store.p12` with both of them for Java. rustls takes no certificate
/// of a server that may sign others.
///
/// # Errors
/// openssl fails.
pub fn certificate(folder: &Path) -> Result<()> {
    for arguments in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem",
        "pkcs12 -export -in cert.pem -inkey key.pem -passout pass:redtape -out store.p12",
    ] {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(folder);
        Process::run(&mut command, BUILD)?.expect_code(0)?;
    }
    Ok(())
}

/// A program's place among the tools that `ci/install` has made, or its name alone for `PATH` to find.
///
/// # Errors
/// The target folder is not found.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = tools()?.join(name);
    Ok(if path.exists() { path } else { name.into() })
}

pub(crate) fn script(path: &str) -> OsString {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs")).join(path).into()
}

/// Compiled once, since that takes longer than the conversation.
fn java(path: &str) -> Result<Vec<OsString>> {
    let (folder, source) = (tools()?.join("java"), PathBuf::from(script(path)));
    let class = source.file_stem().ok_or("a Java source has a name")?;
    build(
        &source,
        &folder.join(class).with_extension("class"),
        Command::new("javac").arg("-d").arg(&folder).arg(&source),
    )?;
    // The options make it start faster, and change nothing else.
    let options = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"].map(OsString::from);
    Ok(options.into_iter().chain([folder.into(), class.to_owned()]).collect())
}

/// Compiled by Mono's compiler against the assemblies of the runtime that it then runs on.
fn dotnet(path: &str, assemblies: &[&str]) -> Result<Vec<OsString>> {
    let (folder, source, tools) = (tools()?.join("dotnet-program"), PathBuf::from(script(path)), tools()?);
    let frameworks = tools.join("dotnet/shared/Microsoft.NETCore.App");
    let framework = fs::read_dir(&frameworks)?.next().ok_or("no framework of .NET is installed")??.path();
    let program = folder.join("program.dll");
    let mut compiler = Command::new("mcs");
    compiler.args(["-nologo", "-nostdlib", "-noconfig"]).arg(&source).arg(format!("-out:{}", program.display()));
    compiler.args(assemblies.iter().map(|name| format!("-r:{}/{name}.dll", framework.display())));
    build(&source, &program, &mut compiler)?;
    let settings = "program.runtimeconfig.json";
    fs::copy(source.with_file_name(settings), folder.join(settings))?;
    Ok(vec![tools.join("dotnet/dotnet").into(), program.into()])
}

fn cpp(path: &str, libraries: &[&str]) -> Result<PathBuf> {
    let (source, binary) = (PathBuf::from(script(path)), tools()?.join("cpp-program"));
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-DCPPHTTPLIB_OPENSSL_SUPPORT", "-o"]).arg(&binary).arg(&source).args(libraries);
    build(&source, &binary, &mut compiler)?;
    Ok(binary)
}

/// What Go calls this way of building.
const GO_OF_DEBIAN: [(&str, &str); 2] = [("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")];

/// A program of Go whose libraries are Debian's, built.
pub fn go_of_debian(folder: &str) -> Result<PathBuf> {
    go(folder, &GO_OF_DEBIAN)
}

/// Go knows itself what is to be built anew.
fn go(folder: &str, settings: &[(&str, &str)]) -> Result<PathBuf> {
    let (tools, binary) = (tools()?, tools()?.join(format!("go-{folder}").replace('/', "-")));
    let mut command = Command::new(tool("python/bin/go")?);
    command.args(["build", "-o"]).arg(&binary).arg(".").current_dir(script(folder));
    command.envs([("GOCACHE", tools.join("go-cache")), ("GOPATH", tools.join("go-path"))]);
    command.envs([("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")]).envs(settings.iter().copied());
    Process::run(&mut command, BUILD)?.expect_code(0)?;
    Ok(binary)
}

/// Runs a compiler if its output is missing or older than the source.
fn build(source: &Path, output: &Path, compiler: &mut Command) -> Result<()> {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    if modified(output).is_ok_and(|built| modified(source).is_ok_and(|written| written < built)) {
        return Ok(());
    }
    fs::create_dir_all(output.parent().ok_or("an output has a folder")?)?;
    Process::run(compiler, BUILD)?.expect_code(0).map(drop)
}
