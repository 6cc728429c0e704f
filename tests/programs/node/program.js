// The conversation of tests/programs/README.md by Node's http, https and http2.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const http2 = require('http2');
const [role, protocol, target] = process.argv.slice(2);
const pem = (name) => fs.readFileSync(`${process.env.TLS_FOLDER}/${name}.pem`);

function answer(request, response) {
  const end = (status, text) => {
    response.writeHead(status, { 'content-length': Buffer.byteLength(text) });
    response.end(text);
  };
  if (request.url === '/hello') return end(200, 'hello');
  if (request.url === '/chunks') {
    response.write('one ');
    setImmediate(() => response.end('two'));
    return undefined;
  }
  if (request.url !== '/echo') return end(404, 'missing');
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => end(200, Buffer.concat(parts).toString()));
  return undefined;
}

function serve() {
  const tls = () => ({ cert: pem('cert'), key: pem('key') });
  const servers = {
    http: () => http.createServer(answer),
    https: () => https.createServer(tls(), answer),
    h2c: () => http2.createServer(answer),
    h2: () => http2.createSecureServer(tls(), answer),
  };
  const server = servers[protocol]();
  server.listen(0, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${server.address().port}`));
}

function collect(stream, done) {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (part) => { text += part; });
  stream.on('end', () => done(text));
}

// One request by HTTP/1.1 over the agent's kept connections.
function askOne(agent, method, path, body) {
  const module = protocol === 'https' ? https : http;
  return new Promise((resolve, reject) => {
    const request = module.request(target + path, { agent, method, headers: { 'content-length': body.length } });
    request.on('response', (response) => collect(response, (text) => resolve([response.statusCode, text])));
    request.on('error', reject);
    request.end(body);
  });
}

// One stream of an HTTP/2 session.
function askTwo(session, method, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': method, ':path': path }, { endStream: body.length === 0 });
    let status = 0;
    stream.on('response', (headers) => { status = headers[':status']; });
    stream.on('error', reject);
    collect(stream, (text) => resolve([status, text]));
    if (body.length > 0) stream.end(body);
  });
}

async function talk(ask) {
  const body = 'x'.repeat(20000);
  const script = [
    ...Array(5).fill(['GET', '/hello', '', 200, 'hello']),
    ...Array(2).fill(['GET', '/missing', '', 404, 'missing']),
    ...Array(2).fill(['POST', '/echo', body, 200, body]),
    ['GET', '/chunks', '', 200, 'one two'],
  ];
  for (const [method, path, sent, status, text] of script) {
    const got = await ask(method, path, sent);
    if (got[0] !== status || got[1] !== text) throw new Error(`${method} ${path}: ${got[0]}, ${got[1].length} bytes`);
  }
}

async function call() {
  if (protocol.startsWith('http')) {
    const ca = protocol === 'https' ? pem('cert') : undefined;
    const agent = new (protocol === 'https' ? https : http).Agent({ keepAlive: true, maxSockets: 4, ca });
    await Promise.all([0, 1, 2, 3].map(() => talk((...request) => askOne(agent, ...request))));
    agent.destroy();
  } else {
    const session = http2.connect(target, protocol === 'h2' ? { ca: pem('cert') } : {});
    await Promise.all([0, 1, 2, 3].map(() => talk((...request) => askTwo(session, ...request))));
    session.close();
  }
}

if (role === 'serve') serve();
else call().catch((error) => { console.error(error); process.exitCode = 1; });
