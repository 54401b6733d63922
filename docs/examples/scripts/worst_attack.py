"""Worst attack: of each defense in the published results, the attack that succeeds most."""

import clipbench as cb

frame = cb.load_results(published="shapes").to_frame()
attacked = frame[frame["attack"] != "none"]
success = attacked.pivot_table(index="defense", columns="attack", values="attack_success")
worst = success.max(axis="columns").sort_values()
for defense, share in worst.items():
    print(f"{defense:20} {share:6.1%}  {success.loc[defense].idxmax()}")
