# testcontainers 4 and docker-py 7 (PyPI): one line for each use. How to run it: docs/testing.md
import os, time, traceback
os.environ['TESTCONTAINERS_RYUK_DISABLED']='true'
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs
from testcontainers.core.docker_client import DockerClient
import requests, docker
def t(name):
    def d(f):
        try: print(name, '->', f())
        except Exception as e: print(name, '!', type(e).__name__, str(e)[:300])
    return d
@t('http')
def _():
    with DockerContainer('nginx').with_command(['sh','-c','mkdir /w; echo served > /w/index.html; httpd -f -v -p 80 -h /w']).with_exposed_ports(80) as c:
        time.sleep(1); return requests.get(f'http://{c.get_container_host_ip()}:{c.get_exposed_port(80)}/').text, c.get_container_host_ip()
@t('logs')
def _():
    with DockerContainer('busybox').with_command(['sh','-c','echo out; echo err >&2; echo Ready; sleep 100']) as c:
        wait_for_logs(c,'Ready',timeout=10); time.sleep(.3); return c.get_logs()
@t('logs regex func')
def _():
    with DockerContainer('busybox').with_command(['sh','-c','sleep 1; echo "a1 b2"; sleep 100']) as c:
        return wait_for_logs(c, lambda s: 'b2' in s, timeout=10) > 0
@t('exec')
def _():
    with DockerContainer('busybox').with_command('sleep 100').with_env('A','b').with_kwargs(working_dir='/tmp', user='nobody') as c:
        return c.exec(['sh','-c','echo $A; pwd; id -u; exit 3'])
@t('volumes')
def _():
    os.makedirs('/tmp/strangers/volume',exist_ok=True); open('/tmp/strangers/volume/f','w').write('x')
    with DockerContainer('busybox').with_command('sleep 100').with_volume_mapping('/tmp/strangers/volume','/data','ro') as c:
        return c.exec('cat /data/f'), c.exec('touch /data/g')[0]
@t('network')
def _():
    with Network() as n:
        with DockerContainer('busybox').with_command(['sh','-c','mkdir /w; echo hi > /w/index.html; httpd -f -p 80 -h /w']).with_network(n).with_network_aliases('alias1','alias2') as a:
            with DockerContainer('busybox').with_command('sleep 100').with_network(n) as b:
                time.sleep(1); return b.exec('wget -q -O - http://alias1/'), b.exec('wget -q -O - http://alias2/')
@t('network ls')
def _():
    cl=docker.from_env(); n=Network(); n.create(); r=[x.name for x in cl.networks.list(names=[n.name])]==[n.name]; n.remove(); return r, cl.networks.list(names=[n.name])
@t('bind ports')
def _():
    with DockerContainer('nginx').with_command('sleep 100').with_bind_ports(80, 18080).with_exposed_ports('53/udp') as c:
        return c.get_exposed_port(80), c.get_wrapped_container().ports['53/udp'] is not None
@t('name labels')
def _():
    with DockerContainer('busybox').with_name('tc-name').with_command('sleep 9').with_kwargs(labels={'x':'y'}, hostname='hh', mem_limit='64m', tmpfs={'/t':''}, extra_hosts={'h':'1.2.3.4'}, cap_add=['NET_ADMIN'], ulimits=[docker.types.Ulimit(name='nofile',soft=100,hard=100)]) as c:
        w=c.get_wrapped_container(); return w.name, w.labels.get('x'), c.exec('hostname'), c.exec('grep 1.2.3.4 /etc/hosts'), c.exec('sh -c "ulimit -n"')
@t('env file'  )
def _():
    open('/tmp/strangers/env','w').write('Q=1\n#c\nW=two words\n')
    with DockerContainer('busybox').with_command('sleep 100').with_env_file('/tmp/strangers/env') as c: return c.exec('printenv W')
@t('copy')
def _():
    with DockerContainer('busybox').with_command('sleep 100') as c:
        import io,tarfile
        b=io.BytesIO(); tf=tarfile.open(fileobj=b,mode='w'); i=tarfile.TarInfo('f'); i.size=3; tf.addfile(i,io.BytesIO(b'abc')); tf.close()
        w=c.get_wrapped_container(); w.put_archive('/tmp', b.getvalue()); bits,st=w.get_archive('/tmp/f'); return st['size'], c.exec('cat /tmp/f'), tarfile.open(fileobj=io.BytesIO(b''.join(bits))).getnames()
@t('missing image')
def _():
    with DockerContainer('localhost:5000/none:1') as c: pass
@t('health')
def _():
    with DockerContainer('busybox').with_command('sleep 100').with_kwargs(healthcheck={'test':['CMD','true'],'interval':500000000,'retries':3}) as c:
        for i in range(40):
            w=c.get_wrapped_container(); w.reload()
            if w.attrs['State']['Health']['Status']=='healthy': return 'healthy'
            time.sleep(.2)
@t('platform')
def _():
    with DockerContainer('busybox', platform='linux/amd64').with_command('sleep 9') as c: return 1
@t('exit')
def _():
    c=DockerContainer('busybox').with_command(['sh','-c','exit 7']); c.start(); r=c.get_wrapped_container().wait(); c.stop(); return r['StatusCode']
@t('client')
def _():
    d=DockerClient(); return d.host(), d.bridge_ip(list(d.client.containers.list(all=True,limit=1))[0].id) if False else '', d.gateway_ip if False else ''
# docker-py itself
cl=docker.from_env()
@t('run')
def _(): return cl.containers.run('busybox','echo hi',remove=True), cl.version()['ApiVersion']
@t('run err')
def _(): return cl.containers.run('busybox',['sh','-c','echo oops >&2; exit 3'],remove=True)
@t('run stderr')
def _(): return cl.containers.run('busybox',['sh','-c','echo a; echo b >&2'],remove=True,stderr=True)
@t('exec socket')
def _():
    c=cl.containers.run('busybox','sleep 100',detach=True); e=cl.api.exec_create(c.id,'cat',stdin=True); s=cl.api.exec_start(e['Id'],socket=True); s._sock.sendall(b'hello\n'); s._sock.shutdown(1); r=b''
    while True:
        d=s._sock.recv(100)
        if not d: break
        r+=d
    c.remove(force=True); return r, cl.api.exec_inspect(e['Id'])['ExitCode'] if False else ''
@t('attach ws')
def _():
    c=cl.api.create_container('busybox',['sh','-c','read x; echo got $x'],stdin_open=True,tty=True); cl.api.start(c)
    s=cl.api.attach_socket(c,{'stdin':1,'stdout':1,'stream':1}); s._sock.sendall(b'foo\n'); r=b''
    while b'got foo' not in r: 
        d=s._sock.recv(100); r+=d
        if not d: break
    cl.api.remove_container(c,force=True); return r
@t('events')
def _():
    e=cl.events(decode=True, filters={'event':'create','type':'volume'}); v=cl.volumes.create('tcev'); r=next(e); v.remove(); return r['Action'], r['Actor']['ID']
@t('df')
def _(): return sorted(cl.df().keys())
@t('stats')
def _():
    c=cl.containers.run('busybox','sleep 100',detach=True); r=sorted(c.stats(stream=False).keys()); c.remove(force=True); return r
@t('top')
def _():
    c=cl.containers.run('busybox','sleep 100',detach=True); r=c.top(); x=list(r.keys()), r['Titles']; c.remove(force=True); return x
@t('prune')
def _(): return [sorted(x.prune().keys()) for x in (cl.containers,cl.networks,cl.volumes,cl.images)]
@t('commit')
def _():
    c=cl.containers.run('busybox','touch /new',detach=True); c.wait(); d=c.diff(); i=c.commit('tcimg','t',changes='CMD ["ls"]'); r=i.tags,i.attrs['Config']['Cmd'],d; c.remove(); cl.images.remove('tcimg:t'); return r
@t('save')
def _(): return len(b''.join(cl.images.get('busybox').save(named=True)))>100000
@t('login')
def _(): return cl.login('testuser','right',registry='localhost:5443')['Status']
@t('registry data')
def _(): d=cl.images.get_registry_data('localhost:5000/rb:1'); return d.attrs['Platforms'], d.has_platform('linux/amd64')
