"""What is known of a judge: how far it agrees with people, and how good the system it judged is.

Pure functions over `grades.Item`; `certificate.certify` is the whole of it.
"""
