//! thin path
use std::io::{Read, Write};
use std::time::Duration;
use redtape_capture::{ProbeOptions, Probes};

#[test]
fn thin() {
    let mut probes = Probes::load(&ProbeOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    println!("hook {:?}", probes.arrival_hook());
    probes.follow(std::process::id()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        let (mut s, _) = listener.accept().unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let mut b = [0; 16384];
        let n = s.read(&mut b).unwrap();
        println!("server read {n}");
        s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n").unwrap();
        s.write_all(&[b'x'; 20000]).unwrap();
        assert_eq!(s.read(&mut b).unwrap(), 0);
    });
    let mut c = std::net::TcpStream::connect(at).unwrap();
    c.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    c.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = Vec::new();
    c.read_to_end(&mut all).unwrap();
    drop(c);
    server.join().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    probes.drain(&mut |r| {
        if let redtape_abi::Record::Data{call,prefix,tail} = r { println!("{call:?} {} {}", prefix.len(), tail.len()); } else { println!("{r:?}"); }
    });
    println!("{:?}", probes.counters());
}
