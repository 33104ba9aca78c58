# Ruby's docker-api (Debian's ruby-docker-api): all that the gem does, one line for each. How to run it: docs/testing.md
require 'docker'; require 'tempfile'; require 'json'; require 'tmpdir'
Docker.url = ENV['DOCKER_HOST']
Docker.options[:read_timeout] = 20
def norm(s) s.to_s.gsub(/\b[0-9a-f]{64}\b/,'ID').gsub(/\b[0-9a-f]{12}\b/,'SID').gsub(/\d{4}-\d\d-\d\dT[0-9:.]+Z/,'TIME') end
def t(name) begin; r = yield; puts "#{name}: #{norm(r.inspect)}"; rescue Exception => e; puts "#{name}: !#{e.class} #{norm(e.message)[0,300]}"; end end
def busy(cmd, more={}) Docker::Container.create({'Image'=>'busybox:latest','Cmd'=>cmd}.merge(more)) end
t('version keys') { Docker.version.keys.sort - ['BuildTime'] }
t('info keys') { (Docker.info.keys & %w(ID Containers Images Driver ServerVersion NCPU MemTotal Name Labels)).sort }
t('ping') { Docker.ping }
t('podman') { Docker.podman? }; t('rootless') { Docker.rootless? }
t('validate') { Docker.validate_version! }
t('authenticate') { Docker.authenticate!('username'=>'a','password'=>'b','serveraddress'=>'localhost:5000') }
t('authenticate bad') { Docker.authenticate!('username'=>'a','password'=>'b','serveraddress'=>'localhost:1') }
# containers
t('create no image') { Docker::Container.create('Image'=>'nothere','Cmd'=>['true']) }
t('create empty') { Docker::Container.create({}) }
c = busy(%w(ls /bin/sh)); t('json') { c.json.keys.sort }
t('changes none') { c.changes }
t('start') { c.start; c.wait['StatusCode'] }
t('logs') { c.logs(stdout: true) }; t('logs none') { c.logs({}) }
t('delete') { c.delete(force: true) }
c = busy(['sh','-c','mkdir /tmp/x; touch /x; rm /etc/group; sleep 100']); c.start; sleep 1
t('changes') { c.changes.sort_by{|x|x['Path']} }
t('top') { c.top.map{|p| p.keys.sort} }; t('top all') { c.top(format: :hash).keys.sort }
t('top args') { c.top(ps_args: 'aux').first.keys.sort }
t('stats') { c.stats.keys.sort - ['storage_stats'] }
t('update') { c.update('CpuShares'=>512) }; t('update nothing') { c.update({}) }
t('rename') { c.rename('ruby-new'); c.json['Name'] }; t('rename bad') { c.rename('a b') }
t('pause') { c.pause; s=c.json['State']['Paused']; c.unpause; [s, c.json['State']['Paused']] }
t('exec') { c.exec(['date','-u','-d','@0']) }
t('exec fail') { c.exec(%w(sh -c) + ['echo out; echo err >&2; exit 3']) }
t('exec missing') { c.exec(['nope']) }
t('exec stdin') { c.exec(['cat'], stdin: StringIO.new("hello\n")) }
t('exec tty') { c.exec(['sh','-c','tty; echo x'], tty: true) }
t('exec detach') { c.exec(['sleep','1'], detach: true) }
t('exec block') { o=[]; c.exec(['sh','-c','echo a; echo b >&2']) { |s,m| o << [s,m] }; o.sort }
t('exec user') { c.exec(['id','-u'], user: 'nobody') }; t('exec nouser') { c.exec(['id'], user: 'nix') }
t('exec env') { c.exec(['sh','-c','echo $A $PWD'], 'Env'=>['A=b'], 'WorkingDir'=>'/tmp') }
t('exec wait') { c.exec(['sleep','10'], wait: 1) }
t('store_file') { c.store_file('/stored', 'content'); c.read_file('/stored') }
t('store_file perm') { c.store_file('/perm', content: 'p', permissions: 0700); c.exec(['stat','-c','%a %s','/perm']) }
t('read_file missing') { c.read_file('/nothere') }
t('read_file dir') { c.read_file('/etc') }
t('archive_out') { s=+''; c.archive_out('/etc/passwd') { |x| s << x }; Gem::Package::TarReader.new(StringIO.new(s)).map{|e|[e.full_name,e.read.to_s.size]} }
t('archive_out dir') { s=+''; c.archive_out('/etc') { |x| s << x }; Gem::Package::TarReader.new(StringIO.new(s)).map{|e|e.full_name}.sort.first(3) }
t('archive_out missing') { c.archive_out('/nothere') { |x| } }
t('archive_in') { Dir.mktmpdir { |d| File.write("#{d}/f1",'1'); File.write("#{d}/f2",'2'); c.archive_in(["#{d}/f1","#{d}/f2"], '/tmp') ; c.exec(['cat','/tmp/f1','/tmp/f2']) } }
t('archive_in overwrite') { Dir.mktmpdir { |d| File.write("#{d}/x",'1'); c.archive_in(["#{d}/x"], '/tmp', overwrite: false) } }
t('archive_in nodir') { Dir.mktmpdir { |d| File.write("#{d}/x",'1'); c.archive_in(["#{d}/x"], '/no/where') } }
t('archive_in_stream') { c.archive_in_stream('/tmp') { raise Docker::Error::DockerError, 'boom' } }
t('export') { n=0; c.export { |x| n += x.size }; n > 100000 }
t('copy') { c.copy('/etc/passwd') { |x| } }
t('kill sig') { c.kill(signal: 'SIGTERM') }; t('kill') { c.kill; c.wait['StatusCode'] }; t('kill dead') { c.kill }
t('restart') { c.restart(t: 0); c.json['State']['Running'] }
t('stop') { c.stop(t: 0); c.json['State']['Running'] }; t('stop stopped') { c.stop }; t('stop!') { c.stop! }
t('start!') { c.start!; c.start! ; c.json['State']['Running'] }
t('delete running') { c.delete }; t('remove') { c.remove(force: true) }; t('gone') { c.json }
c = busy(%w(sleep 3)); c.start; t('wait timeout') { c.wait(0.2) }; c.delete(force: true)
c = busy(['sh','-c','echo out; echo err >&2; sleep 1; echo late']); t('attach') { th=Thread.new{sleep 0.3; c.start}; r=c.attach(stream: true, stdout: true, stderr: true); th.join; r }
t('attach logs') { c.attach(logs: true, stream: false, stdout: true, stderr: true) }
t('streaming_logs') { o=[]; c.streaming_logs(stdout: true, stderr: true) { |s,m| o << [s,m] }; o.sort }
t('streaming follow') { o=[]; c.streaming_logs(stdout: true, follow: true) { |s,m| o << m }; o }
c.delete(force: true)
c = busy(['cat'], 'OpenStdin'=>true,'StdinOnce'=>true); t('attach stdin') { c.start; c.attach(stream: true, stdout: true, stdin: StringIO.new("foo\nbar\n")) }; c.delete(force: true)
c = busy(['sh'], 'OpenStdin'=>true,'Tty'=>true); t('attach tty') { c.start; c.attach(stream: true, stdout: true, tty: true, stdin: StringIO.new("uname; exit\n")) }; c.delete(force: true)
c = busy(['head','-c','1'], 'OpenStdin'=>true,'StdinOnce'=>true); t('attach much') { c.start; c.attach(stream: true, stdout: true, stdin: StringIO.new("y"*3_000_000)) }; t('code') { c.wait['StatusCode'] }; c.delete(force: true)
c = busy(['sh','-c','echo hi > /made']); c.start; c.wait
t('commit') { i=c.commit('repo'=>'ruby-img','tag'=>'t','comment'=>'c'); Docker::Image.get('ruby-img:t').info['RepoTags'] }
t('commit run') { c.commit('run'=>{'Cmd'=>['ls']}).json['Config']['Cmd'] }
t('run') { i=Docker::Image.get('ruby-img:t'); r=i.run('cat /made'); r.wait; o=r.logs(stdout: true); r.delete; o }
t('run no cmd') { Docker::Image.create('fromImage'=>'nothere:1') }
c.delete
t('all') { busy(['true'], 'Labels'=>{'rb'=>'1'}); Docker::Container.all(all: true, filters: {label: ['rb=1']}.to_json).map{|x| x.info.keys.sort} }
t('prune') { Docker::Container.prune.keys.sort }
# images
t('image get missing') { Docker::Image.get('nothere') }; t('exist') { [Docker::Image.exist?('busybox'), Docker::Image.exist?('nothere')] }
t('image all') { Docker::Image.all.first.info.keys.sort }
t('image history') { Docker::Image.get('busybox').history.first.keys.sort }
t('image json') { Docker::Image.get('busybox').json.keys.sort }
t('tag') { i=Docker::Image.get('busybox'); i.tag('repo'=>'localhost:5000/rb','tag'=>'1','force'=>true); i.info['RepoTags'].include?('localhost:5000/rb:1') }
t('push') { i=Docker::Image.get('localhost:5000/rb:1'); i.push(nil, repo_tag: 'localhost:5000/rb:1'); 'pushed' }
t('push missing') { Docker::Image.get('busybox').push(nil, repo_tag: 'localhost:5000/none:1') }
t('push all lines') { l=[]; Docker::Image.get('busybox').push(nil, repo_tag: 'localhost:5000/rb:1') { |x| l << JSON.parse(x).keys.sort }; l.uniq.sort }
t('image remove') { Docker::Image.get('localhost:5000/rb:1').remove(name: 'localhost:5000/rb:1') ; Docker::Image.exist?('localhost:5000/rb:1') }
t('pull') { Docker::Image.create('fromImage'=>'localhost:5000/rb','tag'=>'1').info.keys.sort }
t('pull block') { l=[]; Docker::Image.create('fromImage'=>'localhost:5000/rb:1') { |x| l << x[0,12] }; l.size > 0 }
t('pull missing') { Docker::Image.create('fromImage'=>'localhost:5000/none','tag'=>'1') }
t('insert_local') { Docker::Image.get('busybox').insert_local('localPath'=>'/etc/hostname','outputPath'=>'/') }
t('build') { Docker::Image.build("FROM busybox\nRUN true") }
t('save') { s=Docker::Image.save(['busybox:latest']); s.size > 100000 }
t('save_stream') { n=0; Docker::Image.save_stream(['busybox:latest']) { |x| n+=x.size }; n>100000 }
t('image save file') { Dir.mktmpdir { |d| Docker::Image.get('busybox').save("#{d}/a.tar"); File.size("#{d}/a.tar")>100000 } }
t('load') { Dir.mktmpdir { |d| Docker::Image.save(['busybox:latest'],"#{d}/a.tar"); Docker::Image.load("#{d}/a.tar") } }
t('load io') { Dir.mktmpdir { |d| Docker::Image.save(['busybox:latest'],"#{d}/a.tar"); File.open("#{d}/a.tar") { |f| Docker::Image.load(f) } } }
t('load junk') { Docker::Image.load(StringIO.new('junk')) }
t('import') { Docker::Image.import('/tmp/strangers/busybox.tar').class }
t('import_stream') { Docker::Image.import_stream(repo: 'rbimp', tag: 'x') { nil } }
t('search') { Docker::Image.search('term'=>'x') }
t('image prune') { Docker::Image.prune.keys.sort }
t('distribution') { Docker::Image.new(Docker.connection,'id'=>'x').class }
# networks
n=nil; t('net create') { n=Docker::Network.create('rb-net', 'Labels'=>{'a'=>'b'}); n.json.keys.sort }
t('net get') { Docker::Network.get('rb-net').info['Name'] }; t('net missing') { Docker::Network.get('nix') }
t('net dup') { Docker::Network.create('rb-net') }
t('net all') { Docker::Network.all(filters: {name: ['rb-net']}.to_json).map{|x|x.info['Name']} }
c=busy(['sleep','100']); c.start
t('net connect') { n.connect(c.id, {}, 'EndpointConfig'=>{'Aliases'=>['al']}); c.json['NetworkSettings']['Networks'].keys.sort }
t('net connect again') { n.connect(c.id) }
t('net reload') { n.reload; n.info['Containers'].size }
t('net remove used') { n.remove }
t('net disconnect') { n.disconnect(c.id); c.json['NetworkSettings']['Networks'].keys }
t('net disconnect again') { n.disconnect(c.id) }
t('net remove') { n.remove }; t('net prune') { Docker::Network.prune }
c.delete(force: true)
# volumes
v=nil; t('vol create') { v=Docker::Volume.create('rb-vol'); v.info.keys.sort }; t('vol get') { Docker::Volume.get('rb-vol').info['Mountpoint'] }
t('vol all') { Docker::Volume.all.map{|x|x.info['Name']}.include?('rb-vol') }; t('vol remove') { v.remove }; t('vol missing') { Docker::Volume.get('rb-vol') }; t('vol prune') { Docker::Volume.prune.keys.sort }
t('vol bad') { Docker::Volume.create('a b') }
# events
t('events') { o=[]; Docker::Event.since(Time.now.to_i-2, until: Time.now.to_i) { |e| o << [e.type,e.action] }; o.uniq.sort.first(3) }
t('event stream') { th=Thread.new { sleep 0.5; x=busy(['true']); x.start; x.wait; x.delete }; o=[]; begin; Docker::Event.stream(filters: {type: ['container']}.to_json) { |e| o << e.action; break if e.action=='destroy' }; end; th.join; o }
