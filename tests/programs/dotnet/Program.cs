// The conversation of tests/programs/README.md by .NET's HttpListener and HttpClient: an event loop and a pool of threads.
using System;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Text;
using System.Threading.Tasks;

static class Program {
    static readonly string Body = new string('x', 20000);

    static int Main(string[] arguments) {
        if (arguments[0] == "serve") {
            Serve().Wait();
        } else {
            Call(arguments[2]).Wait();
        }
        return 0;
    }

    static async Task Serve() {
        // The listener cannot be asked which port it was given.
        var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        var port = ((IPEndPoint)probe.LocalEndpoint).Port;
        probe.Stop();
        var listener = new HttpListener();
        listener.Prefixes.Add("http://127.0.0.1:" + port + "/");
        listener.Start();
        Console.WriteLine("listening on 127.0.0.1:" + port);
        while (true) {
            var context = await listener.GetContextAsync();
            var ignored = Task.Run(() => Answer(context));
        }
    }

    static async Task Answer(HttpListenerContext context) {
        var sent = new MemoryStream();
        await context.Request.InputStream.CopyToAsync(sent);
        var response = context.Response;
        var path = context.Request.Url.AbsolutePath;
        if (path == "/chunks") {
            response.SendChunked = true;
            foreach (var part in new[] { "one ", "two" }) {
                var bytes = Encoding.ASCII.GetBytes(part);
                await response.OutputStream.WriteAsync(bytes, 0, bytes.Length);
            }
        } else {
            var known = path == "/hello" || path == "/echo";
            response.StatusCode = known ? 200 : 404;
            var body = path == "/echo" ? sent.ToArray() : Encoding.ASCII.GetBytes(known ? "hello" : "missing");
            response.ContentLength64 = body.Length;
            await response.OutputStream.WriteAsync(body, 0, body.Length);
        }
        response.Close();
    }

    static async Task Call(string target) {
        var client = new HttpClient();
        var workers = new Task[4];
        for (var i = 0; i < workers.Length; i++) {
            workers[i] = Task.Run(() => Talk(client, target));
        }
        await Task.WhenAll(workers);
    }

    static async Task Talk(HttpClient client, string target) {
        for (var i = 0; i < 5; i++) {
            await Ask(client, target + "/hello", "", 200, "hello");
        }
        for (var i = 0; i < 2; i++) {
            await Ask(client, target + "/missing", "", 404, "missing");
            await Ask(client, target + "/echo", Body, 200, Body);
        }
        await Ask(client, target + "/chunks", "", 200, "one two");
    }

    static async Task Ask(HttpClient client, string url, string sent, int status, string expected) {
        var response = sent == "" ? await client.GetAsync(url) : await client.PostAsync(url, new StringContent(sent));
        var body = await response.Content.ReadAsStringAsync();
        if ((int)response.StatusCode != status || body != expected) {
            throw new InvalidDataException(url + ": " + response.StatusCode + ", " + body.Length + " bytes");
        }
    }
}
