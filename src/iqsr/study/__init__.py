"""Studies: which of two or more pictures people prefer.

A study is a folder. `design.json` says who sees which pictures in which order, `pictures/` holds the pictures under
names that tell nothing, `study.toml` holds what raters read. Votes come from the web server or from sheets, and
are exchanged as one table, `votes.csv`.

    design -> server or sheets -> votes.csv -> analysis
"""
