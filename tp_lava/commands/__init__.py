"""What the commands do, one module each: its options and its work; cli.py puts them together.

`options` has what several commands take, `configuration` where else it may stand, `printing` how they speak, `converting` and
`tasks` how they read models and data; `courses` and `runs` are the two halves of `training`: what is learned, and its folder.
"""
