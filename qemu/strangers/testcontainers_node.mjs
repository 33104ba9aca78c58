// testcontainers 10 for Node (npm): one line for each use. How to run it: docs/testing.md
import { GenericContainer, Network, Wait, getContainerRuntimeClient } from 'testcontainers';
import fs from 'fs';
process.env.TESTCONTAINERS_RYUK_DISABLED='true';
const norm=s=>JSON.stringify(s)?.replace(/[0-9a-f]{64}/g,'ID').replace(/[0-9a-f]{12}/g,'SID');
async function t(name,f){ try{ console.log(name,'->',norm(await f())) }catch(e){ console.log(name,'!',String(e.message).slice(0,300)) } }
const B='busybox:latest';
const base=()=>new GenericContainer(B).withCommand(['sleep','100']);
async function wc(c,f){ const s=await c.start(); try{ return await f(s) } finally { await s.stop() } }
await t('http',()=>wc(new GenericContainer('nginx:latest').withCommand(['sh','-c','mkdir /w; echo served > /w/index.html; httpd -f -p 80 -h /w']).withExposedPorts(80).withWaitStrategy(Wait.forHttp('/',80)),async s=>(await (await fetch(`http://localhost:${s.getMappedPort(80)}/`)).text())));
await t('listening ports',()=>wc(new GenericContainer('nginx:latest').withCommand(['sh','-c','httpd -f -p 80']).withExposedPorts(80),async s=>s.getMappedPort(80)>0));
await t('log wait',()=>wc(new GenericContainer(B).withCommand(['sh','-c','sleep 1; echo Ready; sleep 100']).withWaitStrategy(Wait.forLogMessage('Ready')),async s=>s.getName().startsWith('/')));
await t('log regex n',()=>wc(new GenericContainer(B).withCommand(['sh','-c','echo a1; echo a2; sleep 100']).withWaitStrategy(Wait.forLogMessage(/a\d/,2)),async s=>1));
await t('log timeout',()=>wc(base().withWaitStrategy(Wait.forLogMessage('never')).withStartupTimeout(1500),async s=>1));
await t('health',()=>wc(base().withHealthCheck({test:['CMD-SHELL','true'],interval:500,timeout:1000,retries:5,startPeriod:500}).withWaitStrategy(Wait.forHealthCheck()),async s=>1));
await t('unhealthy',()=>wc(base().withHealthCheck({test:['CMD-SHELL','false'],interval:500,timeout:1000,retries:1}).withWaitStrategy(Wait.forHealthCheck()).withStartupTimeout(5000),async s=>1));
await t('shell wait',()=>wc(base().withWaitStrategy(Wait.forSuccessfulCommand('true')),async s=>1));
await t('one shot',()=>wc(new GenericContainer(B).withCommand(['echo','x']).withWaitStrategy(Wait.forOneShotStartup()),async s=>1));
await t('one shot fail',()=>wc(new GenericContainer(B).withCommand(['sh','-c','exit 3']).withWaitStrategy(Wait.forOneShotStartup()).withStartupTimeout(4000),async s=>1));
await t('exec',()=>wc(base().withEnvironment({A:'b'}),async s=>[await s.exec(['sh','-c','echo $A; echo e >&2; exit 4']),await s.exec('id -u',{user:'nobody',workingDir:'/tmp',env:{Q:'1'}}),await s.exec(['pwd'],{workingDir:'/tmp'})]));
await t('copy content',()=>wc(base().withCopyContentToContainer([{content:'hello',target:'/tmp/a/b.txt',mode:0o640}]),async s=>[(await s.exec('cat /tmp/a/b.txt')).output,(await s.exec('stat -c %a /tmp/a/b.txt')).output]));
fs.mkdirSync('/tmp/strangers/files',{recursive:true}); fs.writeFileSync('/tmp/strangers/files/f','x');
await t('copy file dir',()=>wc(base().withCopyFilesToContainer([{source:'/tmp/strangers/files/f',target:'/etc/ff'}]).withCopyDirectoriesToContainer([{source:'/tmp/strangers/files',target:'/q'}]),async s=>[(await s.exec('cat /etc/ff /q/f')).output]));
await t('copy running',()=>wc(base(),async s=>{ await s.copyContentToContainer([{content:'z',target:'/z'}]); await s.copyFilesToContainer([{source:'/tmp/strangers/files/f',target:'/zz'}]); const st=await s.copyArchiveFromContainer('/z'); let n=0; for await (const c of st) n+=c.length; return [(await s.exec('cat /z /zz')).output,n>500]; }));
await t('bind',()=>wc(base().withBindMounts([{source:'/tmp/strangers/files',target:'/m',mode:'ro'}]).withTmpFs({'/tt':'rw,size=1m'}),async s=>[(await s.exec('cat /m/f')).output,(await s.exec('touch /m/g')).exitCode,(await s.exec('sh -c "mount | grep -c /tt"')).output]));
await t('network',async()=>{ const n=await new Network().start(); try{ return await wc(new GenericContainer(B).withCommand(['sh','-c','mkdir /w; echo hi > /w/index.html; httpd -f -p 80 -h /w']).withNetwork(n).withNetworkAliases('foo','bar'),a=>wc(base().withNetwork(n),async s=>[(await s.exec('wget -q -O - http://foo/')).output,(await s.exec('wget -q -O - http://bar/')).output,a.getNetworkNames().length,a.getIpAddress(n.getName()).length>6])) } finally { await n.stop() } });
await t('network mode',()=>wc(base().withNetworkMode('none'),async s=>(await s.exec('ls /sys/class/net')).output));
await t('misc',()=>wc(base().withName('nd-name').withLabels({a:'b'}).withUser('nobody').withHostname('hh').withExtraHosts([{host:'foo',ipAddress:'10.11.12.13'}]).withUlimits({nofile:{hard:200,soft:100}}).withAddedCapabilities('IPC_LOCK').withDroppedCapabilities('CHOWN').withSharedMemorySize(1<<20).withIpcMode('private').withWorkingDir('/tmp').withPlatform('linux/amd64'),async s=>[s.getName(),s.getLabels(),s.getHostname(),(await s.exec('id -u')).output,(await s.exec('grep foo /etc/hosts')).output,(await s.exec('sh -c "ulimit -n; pwd; df -k /dev/shm | tail -1"')).output]));
await t('restart',()=>wc(new GenericContainer(B).withCommand(['sh','-c','echo x; sleep 100']).withWaitStrategy(Wait.forLogMessage('x')),async s=>{ const id=s.getId(); await s.restart({timeout:0}); return id===s.getId() }));
await t('stop options',async()=>{ const s=await base().start(); await s.stop({timeout:0,remove:false}); const c=await getContainerRuntimeClient(); const i=await c.container.dockerode?.getContainer(s.getId()).inspect(); const r=i?.State.Status; await c.container.dockerode?.getContainer(s.getId()).remove(); return r });
await t('commit',async()=>{ const s=await base().start(); await s.exec('touch /made'); const id=await s.commit({repo:'nd-img',tag:'1',author:'me',comment:'c',changes:['ENV X=y']}); await s.stop(); return await wc(new GenericContainer('nd-img:1').withCommand(['sleep','100']),async q=>[(await q.exec('ls /made')).output,(await q.exec('printenv X')).output]) });
await t('logs',()=>wc(new GenericContainer(B).withCommand(['sh','-c','echo one; echo two >&2; sleep 100']).withWaitStrategy(Wait.forLogMessage('two')),async s=>{ const l=await s.logs(); const o=[]; await new Promise(r=>{ l.on('data',d=>{o.push(String(d)); if(o.length>1) r()}); setTimeout(r,3000) }); return o.sort() }));
await t('log consumer',async()=>{ const o=[]; return await wc(new GenericContainer(B).withCommand(['sh','-c','echo hello; sleep 100']).withLogConsumer(s=>s.on('data',d=>o.push(String(d)))),async s=>{ await new Promise(r=>setTimeout(r,1500)); return o }) });
await t('missing image',()=>wc(new GenericContainer('localhost:5000/none:1'),async s=>1));
await t('pull policy',()=>wc(new GenericContainer('localhost:5000/rb:1').withPullPolicy({shouldPull:()=>true}).withCommand(['sleep','9']),async s=>1));
await t('reuse',async()=>{ const a=await base().withReuse().start(); const b=await base().withReuse().start(); const r=a.getId()===b.getId(); await a.stop(); return r });
await t('fixed port',()=>wc(base().withExposedPorts({container:8080,host:18181}).withWaitStrategy(Wait.forSuccessfulCommand('true')),async s=>s.getMappedPort(8080)));
await t('udp',()=>wc(base().withExposedPorts('53/udp').withWaitStrategy(Wait.forSuccessfulCommand('true')),async s=>s.getMappedPort('53/udp')>0));
process.exit(0);
