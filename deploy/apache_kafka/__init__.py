"""Apache Kafka itself, on this machine: fetched by Maven, run by Java, no container engine.

A broker here has the properties of docker-compose.yml's, so that what is tested is what is
deployed. For tests, for benchmarks, and for people: `make kafka`.

    artefacts    Kafka's jars, fetched once and kept
    properties   what docker-compose.yml says, as a broker takes it
    programs     Kafka's own, such as kafka-acls.sh
    broker       one broker, or three, each a process
"""
