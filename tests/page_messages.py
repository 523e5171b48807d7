"""Messages of a small page of the demo, and what its functions take."""
from rscc.demo.messages import inputs_of

JOIN, CANCEL, RESET = '/gradio_api/queue/join', '/gradio_api/cancel', '/gradio_api/reset'
CONFIG = dict(
    components=[
        dict(id=1, type='radio', props=dict(choices=[['English', 'en']])),
        dict(id=2, type='dropdown', props=dict(choices=[['rscc-small', 'rscc-small']])),
        dict(id=3, type='slider', props=dict(minimum=1, maximum=5)),
        dict(id=4, type='textbox', props=dict(max_length=200)),
        dict(id=5, type='checkbox', props={}), dict(id=6, type='html', props={})],
    dependencies=[dict(id=0, inputs=[1, 2, 3, 4, 5]), dict(id=1, inputs=[1]),
                  dict(id=2, inputs=[]), dict(id=3, inputs=[6])])
INPUTS = inputs_of(CONFIG)
GOOD = dict(session_hash='4u7x0', fn_index=0, data=['zh', 'rscc-small', 3, '4 3 2', True],
            event_data=None, trigger_id=7)
FILE = {'path': '/etc/passwd', 'meta': {'_type': 'gradio.FileData'}}
