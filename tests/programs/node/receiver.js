// An OTLP receiver that nobody here wrote, on free ports of loopback: its first line says where, each other line is what it got.
const { MockOtlpServer, normalizeTrace, normalizeMetrics } = require('@elastic/mockotlpserver');

const print = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const server = new MockOtlpServer({
  logLevel: 'error',
  services: ['http', 'grpc'],
  httpHostname: '127.0.0.1',
  grpcHostname: '127.0.0.1',
  httpPort: 0,
  grpcPort: 0,
  onTrace: (request) => print({ traces: normalizeTrace(request) }),
  onMetrics: (request) => print({ metrics: normalizeMetrics(request) }),
  onRequest: ({ transport, path, headers, metadata }) =>
    print({ request: { transport, path, headers: headers ?? metadata.getMap() } }),
});
server.start().then(() => print({ http: server.httpUrl.toString(), grpc: server.grpcUrl.toString() }));
