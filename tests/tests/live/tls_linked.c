// A server and its clients over TLS by OpenSSL's interface, to be linked with whichever library has it.
//
//   tls_linked serve FOLDER                      prints "listening on 127.0.0.1:PORT", and answers until it is killed
//   tls_linked call PORT CONNECTIONS REQUESTS    so many connections at once, with so many requests each
//
// Each request's path has the client's port, and every third has a body. The clients check every answer.
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 2048, BODY = 20000 };

static SSL_CTX *context;
static struct sockaddr_in address;
static int requests;

static void check(int fine, const char *what) {
    if (!fine) {
        perror(what);
        exit(1);
    }
}

static void write_all(SSL *tls, const char *bytes, int length) {
    while (length > 0) {
        int written = SSL_write(tls, bytes, length);
        check(written > 0, "SSL_write");
        bytes += written;
        length -= written;
    }
}

// Reads a message's head, which ends in a zero then, and its body of known length. False where there is no more message.
static int read_message(SSL *tls, char head[HEAD], char *body, int *body_length) {
    int length = 0;
    char *end = NULL;
    while (!end) {
        int got = SSL_read(tls, head + length, HEAD - 1 - length);
        if (got <= 0) {
            return 0;
        }
        length += got;
        head[length] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    char *field = strcasestr(head, "\r\ncontent-length:");
    *body_length = field && field < end ? atoi(field + 17) : 0;
    int have = length - (int)(end + 4 - head);
    check(*body_length <= BODY && have <= *body_length, "a body of another length");
    memcpy(body, end + 4, have);
    *end = 0;
    while (have < *body_length) {
        int got = SSL_read(tls, body + have, *body_length - have);
        check(got > 0, "SSL_read");
        have += got;
    }
    return 1;
}

// Sends the path back, and the request's body.
static void *answer(void *argument) {
    int socket = (int)(intptr_t)argument;
    SSL *tls = SSL_new(context);
    check(tls && SSL_set_fd(tls, socket) == 1, "SSL_set_fd");
    if (SSL_accept(tls) == 1) {
        char head[HEAD], body[BODY], path[HEAD], answer[HEAD * 2];
        int length;
        while (read_message(tls, head, body, &length)) {
            check(sscanf(head, "%*s %2047s", path) == 1, "no path");
            int missing = strstr(path, "missing") != NULL;
            int size = sprintf(answer, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n", missing ? "404 Not Found" : "200 OK",
                               (int)strlen(path) + length);
            write_all(tls, answer, size);
            write_all(tls, path, (int)strlen(path));
            write_all(tls, body, length);
        }
        SSL_shutdown(tls);
    }
    SSL_free(tls);
    close(socket);
    return NULL;
}

static void serve(const char *folder) {
    check(chdir(folder) == 0, folder);
    context = SSL_CTX_new(TLS_server_method());
    check(SSL_CTX_use_certificate_file(context, "cert.pem", SSL_FILETYPE_PEM) == 1, "cert.pem");
    check(SSL_CTX_use_PrivateKey_file(context, "key.pem", SSL_FILETYPE_PEM) == 1, "key.pem");
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof address;
    check(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 64) == 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int accepted = accept(listener, NULL, NULL);
        pthread_t thread;
        check(accepted >= 0 && pthread_create(&thread, NULL, answer, (void *)(intptr_t)accepted) == 0, "accept");
        pthread_detach(thread);
    }
}

static void *ask(void *unused) {
    int socket_ = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(socket_, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    check(getsockname(socket_, (struct sockaddr *)&own, &size) == 0, "getsockname");
    SSL *tls = SSL_new(context);
    check(tls && SSL_set_fd(tls, socket_) == 1 && SSL_connect(tls) == 1, "SSL_connect");
    char head[HEAD], sent[BODY], path[64], body[BODY];
    memset(sent, 'x', sizeof sent);
    for (int n = 0; n < requests; n++) {
        int missing = n % 5 == 1, length = n % 3 == 2 ? 10000 : 0, got;
        sprintf(path, "/%d/%d%s", ntohs(own.sin_port), n, missing ? "/missing" : "");
        int head_length = sprintf(head, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
                                  length ? "POST" : "GET", path, length);
        write_all(tls, head, head_length);
        write_all(tls, sent, length);
        check(read_message(tls, head, body, &got), "no answer");
        check(got == (int)strlen(path) + length && memcmp(body, path, strlen(path)) == 0, "another's answer");
        check(strncmp(head, missing ? "HTTP/1.1 404" : "HTTP/1.1 200", 12) == 0, "another status");
    }
    SSL_shutdown(tls);
    SSL_free(tls);
    close(socket_);
    return unused;
}

static void call(int connections) {
    context = SSL_CTX_new(TLS_client_method());
    pthread_t threads[connections];
    for (int i = 0; i < connections; i++) {
        check(pthread_create(&threads[i], NULL, ask, NULL) == 0, "pthread_create");
    }
    for (int i = 0; i < connections; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (count == 3 && strcmp(arguments[1], "serve") == 0) {
        serve(arguments[2]);
    } else if (count == 5 && strcmp(arguments[1], "call") == 0) {
        address.sin_port = htons(atoi(arguments[2]));
        requests = atoi(arguments[4]);
        // The probes come some moments after the program has begun.
        sleep(1);
        call(atoi(arguments[3]));
    } else {
        fprintf(stderr, "usage: tls_linked serve FOLDER | tls_linked call PORT CONNECTIONS REQUESTS\n");
        return 2;
    }
    return 0;
}
