"""What the commands do, one module each; cli.py has their options."""
