# The conversation of tests/programs/README.md by WEBrick and Net::HTTP: blocking sockets, a thread each.
require 'net/http'

BODY = 'x' * 20_000

def pem(name)
  File.read(File.join(ENV.fetch('TLS_FOLDER'), "#{name}.pem"))
end

def serve(protocol)
  require 'webrick'
  options = { BindAddress: '127.0.0.1', Port: 0, AccessLog: [], Logger: WEBrick::Log.new(File::NULL) }
  if protocol == 'https'
    require 'webrick/https'
    key = OpenSSL::PKey.read(pem('key'))
    options.update(SSLEnable: true, SSLCertificate: OpenSSL::X509::Certificate.new(pem('cert')), SSLPrivateKey: key)
  end
  server = WEBrick::HTTPServer.new(options)
  server.mount_proc('/') do |request, response|
    case request.path
    when '/hello' then response.body = 'hello'
    when '/echo' then response.body = request.body
    when '/chunks'
      response.chunked = true
      response.body = proc { |out| ['one ', 'two'].each { |part| out.write(part) } }
    else
      response.status = 404
      response.body = 'missing'
    end
  end
  puts "listening on 127.0.0.1:#{server.listeners.first.addr[1]}"
  $stdout.flush
  server.start
end

def talk(target)
  script = [['GET', '/hello', nil, 200, 'hello']] * 5
  script += [['GET', '/missing', nil, 404, 'missing']] * 2
  script += [['POST', '/echo', BODY, 200, BODY]] * 2
  script += [['GET', '/chunks', nil, 200, 'one two']]
  options = { use_ssl: target.scheme == 'https' }
  options[:ca_file] = File.join(ENV.fetch('TLS_FOLDER'), 'cert.pem') if options[:use_ssl]
  Net::HTTP.start(target.host, target.port, **options) do |http|
    script.each do |method, path, sent, status, body|
      response = http.send_request(method, path, sent)
      raise "#{method} #{path}: #{response.code}" unless [response.code.to_i, response.body] == [status, body]
    end
  end
end

role, protocol, target = ARGV
if role == 'serve'
  serve(protocol)
else
  Thread.abort_on_exception = true
  Array.new(4) { Thread.new { talk(URI(target)) } }.each(&:join)
end
