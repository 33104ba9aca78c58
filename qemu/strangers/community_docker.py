# community.docker's docker_container (PyPI's ansible 6): each option set, set again and changed, as the collection's own
# target does it. The modules run in this process: a playbook takes a hundred times as long. How to run it: docs/testing.md
import sys, os, io, json, yaml, contextlib, importlib, re
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
_AnsibleCollectionFinder(paths=[p for p in sys.path if p])._install()
from ansible.module_utils import basic
H=os.environ['DOCKER_HOST']
def norm(s): return re.sub(r'\b[0-9a-f]{12}\b','SID',re.sub(r'[0-9a-f]{64}','ID',str(s)))
def run(module, **args):
    m=importlib.import_module('ansible_collections.community.docker.plugins.modules.'+module)
    args['docker_host']=H
    basic._ANSIBLE_ARGS=json.dumps({'ANSIBLE_MODULE_ARGS':args}).encode()
    out=io.StringIO()
    with contextlib.redirect_stdout(out):
        try: m.main()
        except SystemExit: pass
    return json.loads(out.getvalue().strip().splitlines()[-1])
def c(**a): return run('docker_container', **a)
play=yaml.safe_load(open(os.path.join(os.path.dirname(__file__),'community_docker_options.yml')))
def st(r): return ('F' if r.get('failed') else 'ok')+('+' if r.get('changed') else '')
def main():
    only=sys.argv[1:]
    for o in play:
        if only and o['n'] not in only: continue
        base=dict(name='ans',image='busybox:latest',command='sh -c "sleep 10m"',state='started',force_kill=True,stop_timeout=1)
        if 'fe80' in json.dumps(o): base['state']='present'
        rs=[]
        for a in (o['a'],o['a'],o['b']):
            d=dict(base); d.update(a)
            try: rs.append(c(**d))
            except Exception as e: rs.append({'failed':1,'msg':'EXC %s %s'%(type(e).__name__,e)})
        c(name='ans',state='absent',force_kill=True)
        print(o['n'],[st(r) for r in rs],*[norm(r.get('msg',''))[:240] for r in rs],flush=True)
if __name__=='__main__': main()
