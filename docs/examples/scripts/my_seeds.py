"""My seeds: a defense that `clipbench new` wrote is checked, and run under three seeds."""

import clipbench as cb
from clipbench.testing import check_defense

mine = "my_defense.py:share=0.5"
for check in check_defense(mine):
    print("ok", check.owes)

runs = [
    cb.Run(data="shapes", attack="badnets", rate="2%", defense=defense, seed=seed)
    for defense in ("none", mine)
    for seed in range(3)
]
frame = cb.Results(cb.run(run) for run in runs).to_frame()
print(frame.groupby("defense")[["attack_success", "zeroshot_top1"]].agg(["mean", "std"]))
