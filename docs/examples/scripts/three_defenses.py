"""Three defenses: the main job, targeted poisoning of sixteen images, from Python."""

import clipbench as cb

results = []
for defense in ("none", "clip", "safeclip"):
    run = cb.Run(data="shapes", attack="targeted:targets=16", rate="1.4%", defense=defense)
    results.append(cb.run(run))
    print(defense, results[-1].metrics["attack_success"])
print(cb.leaderboard(results))
