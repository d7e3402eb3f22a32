"""Other people's records as ours: mappings, as data, and what applies them.

Modules:
    format: a mapping that is ready to be used, by its name
    mapping: mappings as files have them
    reading: bytes to what paths are looked up in
    conditions: what has to hold of a record
    fields: what makes a topic's record of it
    values: what is made of what lies at paths
    bounds: what a record's field takes
    paths: where a value lies
    templates: texts put together of values
    times: times, as they are written
    errors: what goes wrong
"""

__all__ = [
    "bounds",
    "conditions",
    "errors",
    "fields",
    "format",
    "mapping",
    "paths",
    "reading",
    "templates",
    "times",
    "values",
]
