from tests.analysis import budget_simulations as b
from pathlib import Path
p=Path('docs/simulations.md'); s=p.read_text().rstrip('\n')+'\n'
text='\n'.join([*b.lines(),''])
p.write_text(s+text)
