// The conversation of tests/programs/README.md by .NET's sockets: its event loop, and continuations on a pool of threads.
// HttpClient and HttpListener of this version want OpenSSL 1.1 even for plaintext, so that HTTP is written by hand here.
using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Tasks;

static class Program {
    static readonly string Body = new string('x', 20000);

    static int Main(string[] arguments) {
        if (arguments[0] == "serve") {
            Serve().Wait();
        } else {
            Call(new Uri(arguments[2])).Wait();
        }
        return 0;
    }

    static async Task Serve() {
        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Console.WriteLine("listening on " + listener.LocalEndpoint);
        while (true) {
            var client = await listener.AcceptTcpClientAsync();
            var connection = Task.Run(() => Answer(client));
        }
    }

    static async Task Answer(TcpClient client) {
        using (client) {
            var wire = new Wire(client.GetStream());
            while (true) {
                var request = await wire.ReadHead();
                if (request == null) {
                    return;
                }
                var sent = await wire.ReadBody();
                var path = request.Split(' ')[1];
                if (path == "/chunks") {
                    await wire.Write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none \r\n");
                    await wire.Write("3\r\ntwo\r\n0\r\n\r\n");
                } else {
                    var known = path == "/hello" || path == "/echo";
                    var body = path == "/echo" ? sent : known ? "hello" : "missing";
                    var status = known ? "200 OK" : "404 Not Found";
                    await wire.Write("HTTP/1.1 " + status + "\r\nContent-Length: " + body.Length + "\r\n\r\n" + body);
                }
            }
        }
    }

    static async Task Call(Uri target) {
        var workers = new Task[4];
        for (var i = 0; i < workers.Length; i++) {
            workers[i] = Task.Run(() => Talk(target));
        }
        await Task.WhenAll(workers);
    }

    static async Task Talk(Uri target) {
        using (var client = new TcpClient()) {
            await client.ConnectAsync(target.Host, target.Port);
            var wire = new Wire(client.GetStream());
            for (var i = 0; i < 5; i++) {
                await Ask(wire, target, "GET /hello", "", 200, "hello");
            }
            for (var i = 0; i < 2; i++) {
                await Ask(wire, target, "GET /missing", "", 404, "missing");
                await Ask(wire, target, "POST /echo", Body, 200, Body);
            }
            await Ask(wire, target, "GET /chunks", "", 200, "one two");
        }
    }

    static async Task Ask(Wire wire, Uri target, string what, string sent, int status, string expected) {
        var length = sent == "" ? "" : "Content-Length: " + sent.Length + "\r\n";
        await wire.Write(what + " HTTP/1.1\r\nHost: " + target.Authority + "\r\n" + length + "\r\n" + sent);
        var head = await wire.ReadHead();
        var body = await wire.ReadBody();
        if (!head.StartsWith("HTTP/1.1 " + status + " ") || body != expected) {
            throw new InvalidDataException(what + ": " + head + ", " + body.Length + " bytes");
        }
    }
}

// Messages of HTTP/1.1 over a stream, as far as the conversation has them.
sealed class Wire {
    readonly Stream stream;
    readonly byte[] buffer = new byte[65536];
    string unread = "";
    string head = "";

    public Wire(Stream stream) {
        this.stream = stream;
    }

    public Task Write(string text) {
        var bytes = Encoding.ASCII.GetBytes(text);
        return stream.WriteAsync(bytes, 0, bytes.Length);
    }

    // The first line of the next message, or null at the end of the connection.
    public async Task<string> ReadHead() {
        while (unread.IndexOf("\r\n\r\n") < 0) {
            if (!await More()) {
                return null;
            }
        }
        head = Take(unread.IndexOf("\r\n\r\n") + 4);
        return head.Substring(0, head.IndexOf("\r\n"));
    }

    public async Task<string> ReadBody() {
        if (head.Contains("chunked")) {
            var body = "";
            while (true) {
                while (unread.IndexOf("\r\n") < 0) {
                    await More();
                }
                var line = Take(unread.IndexOf("\r\n") + 2);
                var size = Convert.ToInt32(line.Trim(), 16);
                body += (await Read(size + 2)).Substring(0, size);
                if (size == 0) {
                    return body;
                }
            }
        }
        var start = head.IndexOf("Content-Length: ");
        return start < 0 ? "" : await Read(int.Parse(head.Substring(start + 16).Split('\r')[0]));
    }

    async Task<string> Read(int size) {
        while (unread.Length < size) {
            if (!await More()) {
                throw new EndOfStreamException();
            }
        }
        return Take(size);
    }

    async Task<bool> More() {
        var count = await stream.ReadAsync(buffer, 0, buffer.Length);
        unread += Encoding.ASCII.GetString(buffer, 0, count);
        return count > 0;
    }

    string Take(int size) {
        var taken = unread.Substring(0, size);
        unread = unread.Substring(size);
        return taken;
    }
}
