# Varnish as an edge cache that obeys tidecast: the least that goes with tidecast.vcl.
#
#   apt-get install varnish
#   cp deploy/edge/varnish/*.vcl /etc/varnish/       # and change the origin, here
#   varnishd -f /etc/varnish/default.vcl -a :80 -a tidecast=127.0.0.1:6086 \
#       -s main=malloc,98g -s rest=malloc,2g -s decisions=malloc,512m
#   TIDECAST_EDGE_VARNISH=http://127.0.0.1:6086 tidecast edge-agent --edge fra-3

vcl 4.1;

backend origin {
  .host = "127.0.0.1";
  .port = "8081";
}

include "/etc/varnish/tidecast.vcl";

sub vcl_recv {
  set req.backend_hint = origin;
}

sub vcl_deliver {
  set resp.http.X-Cache-Hits = obj.hits;
}
