// The conversation of tests/programs/README.md by cpp-httplib: blocking sockets, a pool of threads.
#include <httplib.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

const std::string body(20000, 'x');

std::string pem(const char* name) { return std::string(std::getenv("TLS_FOLDER")) + "/" + name + ".pem"; }

int serve(bool tls) {
    std::unique_ptr<httplib::Server> server;
    if (tls) {
        server = std::make_unique<httplib::SSLServer>(pem("cert").c_str(), pem("key").c_str());
    } else {
        server = std::make_unique<httplib::Server>();
    }
    server->Get("/hello", [](const auto&, auto& response) { response.set_content("hello", "text/plain"); });
    server->Post("/echo", [](const auto& request, auto& response) { response.set_content(request.body, "text/plain"); });
    server->Get("/chunks", [](const auto&, auto& response) {
        response.set_chunked_content_provider("text/plain", [](size_t, httplib::DataSink& sink) {
            sink.write("one ", 4);
            sink.write("two", 3);
            sink.done();
            return true;
        });
    });
    server->set_error_handler([](const auto&, auto& response) { response.set_content("missing", "text/plain"); });
    int port = server->bind_to_any_port("127.0.0.1");
    std::printf("listening on 127.0.0.1:%d\n", port);
    std::fflush(stdout);
    return server->listen_after_bind() ? 0 : 1;
}

bool ask(httplib::Client& client, const std::string& path, int status, const std::string& expected) {
    auto result = path == "/echo" ? client.Post(path, body, "text/plain") : client.Get(path);
    if (result && result->status == status && result->body == expected) return true;
    std::fprintf(stderr, "%s: %d\n", path.c_str(), result ? result->status : 0);
    return false;
}

bool talk(const std::string& target) {
    httplib::Client client(target);
    client.set_keep_alive(true);
    if (target.rfind("https", 0) == 0) client.set_ca_cert_path(pem("cert"));
    bool good = true;
    for (int i = 0; i < 5; i++) good = good && ask(client, "/hello", 200, "hello");
    for (int i = 0; i < 2; i++) good = good && ask(client, "/missing", 404, "missing");
    for (int i = 0; i < 2; i++) good = good && ask(client, "/echo", 200, body);
    return good && ask(client, "/chunks", 200, "one two");
}

int call(const std::string& target) {
    bool good[4] = {};
    std::vector<std::thread> threads;
    for (bool& result : good) threads.emplace_back([&] { result = talk(target); });
    for (auto& thread : threads) thread.join();
    return good[0] && good[1] && good[2] && good[3] ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
    std::string role = count > 2 ? arguments[1] : "";
    if (role == "serve") return serve(arguments[2] == std::string("https"));
    if (role == "call" && count > 3) return call(arguments[3]);
    std::fputs("usage: program serve PROTOCOL | program call PROTOCOL URL\n", stderr);
    return 2;
}
