"""The configuration. `settings`: what may stand in it, typed. `file`: reading it, every error at once with its line.
`yaml_tree`: plain data with the line of each key. `checks`: what no single section can know. `defaults`: what needs no
configuration.
"""
