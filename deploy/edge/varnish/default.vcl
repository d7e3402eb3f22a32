# Varnish as an edge cache that obeys tidecast: the least that goes with tidecast.vcl.
#
#   apt-get install varnish
#   cp deploy/edge/varnish/* /etc/varnish/       # and change what is marked: here
#   varnishd -f /etc/varnish/default.vcl -a :80 -a tidecast=127.0.0.1:6086 \
#       -p vsl_reclen=3k -p nuke_limit=100000 \
#       -s main=malloc,98g -s rest=malloc,2g -s decisions=malloc,512m
#   TIDECAST_EDGE_VARNISH=http://127.0.0.1:6086 tidecast edge-agent --edge fra-3
#
# What the historian reads, a line a request; whatever ships logs brings them to Kafka, such as
#
#   varnishncsa -j -q 'VCL_Log:object' -f /etc/varnish/requests.format |
#       kcat -P -b kafka:9092 -t edge.requests -k fra-3

vcl 4.1;

backend origin {
  .host = "127.0.0.1";  # here: the origin
  .port = "8081";
}

include "/etc/varnish/tidecast.vcl";

sub tidecast_object {
  # An object's id: its target. That is enough where there is one site, under however many names.
  # here: regsub(req.http.Host, ":[0-9]+$", "") + req.url where several sites are served
  set req.http.X-Tidecast-Object = req.url;
}

sub vcl_recv {
  set req.backend_hint = origin;
}

sub vcl_deliver {
  set resp.http.X-Cache-Hits = obj.hits;
}
