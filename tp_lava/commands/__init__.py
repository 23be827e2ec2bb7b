"""What the commands do, one module each: its options and its work; cli.py puts them together.

`options` has what several commands take, `printing` how they speak, `converting` and `tasks` how they read models and data.
"""
