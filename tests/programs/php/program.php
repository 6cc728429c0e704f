<?php
// The conversation of tests/programs/README.md by PHP's built-in server and http:// streams: a connection a request.
$body = str_repeat('x', 20000);
if (PHP_SAPI === 'cli-server') {
    $path = $_SERVER['REQUEST_URI'];
    if ($path === '/chunks') {
        echo 'one ';
        flush();
        echo 'two';
        return;
    }
    $known = ['/hello' => 'hello', '/echo' => file_get_contents('php://input')];
    http_response_code(isset($known[$path]) ? 200 : 404);
    $text = $known[$path] ?? 'missing';
    header('Content-Length: ' . strlen($text));
    echo $text;
    return;
}

$script = array_merge(
    array_fill(0, 20, ['GET', '/hello', '', 200, 'hello']),
    array_fill(0, 8, ['GET', '/missing', '', 404, 'missing']),
    array_fill(0, 8, ['POST', '/echo', $body, 200, $body]),
    array_fill(0, 4, ['GET', '/chunks', '', 200, 'one two'])
);
foreach ($script as [$method, $path, $sent, $status, $expected]) {
    $options = [
        'method' => $method,
        'content' => $sent,
        'header' => ['Content-Type: text/plain', 'Connection: close'],
        'ignore_errors' => true,
        'protocol_version' => 1.1,
    ];
    $got = file_get_contents($argv[3] . $path, false, stream_context_create(['http' => $options]));
    if ($got !== $expected || !str_contains($http_response_header[0], " $status ")) {
        fwrite(STDERR, "$method $path: {$http_response_header[0]}\n");
        exit(1);
    }
}
