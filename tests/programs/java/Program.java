// The conversation of tests/programs/README.md by com.sun.net.httpserver and java.net.http.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

final class Program {
    private static final String BODY = "x".repeat(20000);

    private record Step(String method, String path, String sent, int status, String body) {}

    private static final Step HELLO = new Step("GET", "/hello", "", 200, "hello");
    private static final Step MISSING = new Step("GET", "/missing", "", 404, "missing");
    private static final Step ECHO = new Step("POST", "/echo", BODY, 200, BODY);
    private static final Step CHUNKS = new Step("GET", "/chunks", "", 200, "one two");
    private static final Step[] SCRIPT = {HELLO, HELLO, HELLO, HELLO, HELLO, MISSING, MISSING, ECHO, ECHO, CHUNKS};

    public static void main(String[] args) throws Exception {
        if (args[0].equals("serve")) {
            serve(args[1]);
        } else {
            call(args[1], args[2]);
        }
    }

    /** The test's certificate and key, which `keytool` can make and only a key store can hold. */
    private static SSLContext context() throws Exception {
        var password = "redtape".toCharArray();
        var store = KeyStore.getInstance("PKCS12");
        try (var file = Files.newInputStream(Path.of(System.getenv("TLS_FOLDER"), "store.p12"))) {
            store.load(file, password);
        }
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, password);
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    private static void serve(String protocol) throws Exception {
        var address = new InetSocketAddress("127.0.0.1", 0);
        HttpServer server;
        if (protocol.equals("https")) {
            var secure = HttpsServer.create(address, 0);
            secure.setHttpsConfigurator(new HttpsConfigurator(context()));
            server = secure;
        } else {
            server = HttpServer.create(address, 0);
        }
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", Program::answer);
        server.start();
        System.out.println("listening on 127.0.0.1:" + server.getAddress().getPort());
    }

    private static void answer(HttpExchange exchange) throws IOException {
        var body = exchange.getRequestBody().readAllBytes();
        var path = exchange.getRequestURI().getPath();
        switch (path) {
            case "/hello" -> end(exchange, 200, "hello".getBytes());
            case "/echo" -> end(exchange, 200, body);
            case "/chunks" -> {
                exchange.sendResponseHeaders(200, 0);
                try (var out = exchange.getResponseBody()) {
                    out.write("one ".getBytes());
                    out.flush();
                    out.write("two".getBytes());
                }
            }
            default -> end(exchange, 404, "missing".getBytes());
        }
    }

    private static void end(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.sendResponseHeaders(status, body.length);
        try (var out = exchange.getResponseBody()) {
            out.write(body);
        }
    }

    private static void call(String protocol, String target) throws Exception {
        var version = protocol.startsWith("http") ? HttpClient.Version.HTTP_1_1 : HttpClient.Version.HTTP_2;
        var builder = HttpClient.newBuilder().version(version);
        if (target.startsWith("https")) {
            builder.sslContext(context());
        }
        var client = builder.build();
        var workers = Executors.newFixedThreadPool(4);
        var running = new ArrayList<Future<?>>();
        for (int i = 0; i < 4; i++) {
            running.add(workers.submit(() -> {
                talk(client, target);
                return null;
            }));
        }
        for (var worker : running) {
            worker.get();
        }
        workers.shutdown();
    }

    private static void talk(HttpClient client, String target) throws Exception {
        for (var step : SCRIPT) {
            var body = step.sent.isEmpty()
                ? HttpRequest.BodyPublishers.noBody()
                : HttpRequest.BodyPublishers.ofString(step.sent);
            var request = HttpRequest.newBuilder(URI.create(target + step.path)).method(step.method, body).build();
            var response = client.send(request, HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() != step.status || !response.body().equals(step.body)) {
                throw new IllegalStateException(step.method + " " + step.path + ": " + response.statusCode());
            }
        }
    }
}
