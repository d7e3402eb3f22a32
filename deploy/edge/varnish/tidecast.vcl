# Decisions of tidecast in Varnish. Include it before anything else that has a vcl_recv:
#
#   include "/etc/varnish/tidecast.vcl";
#
# and start varnishd with the stores that it names, the sizes being the cache's own affair, and
# with a listener for the agent alone:
#
#   -s main=malloc,98g -s rest=malloc,2g -s decisions=malloc,512m
#   -a :80 -a tidecast=127.0.0.1:6086
#
# Varnish has no tables in its language, so its cache is the table: the agent stores each decision
# as an empty object that lives as long as the decision does (`edge_varnish` in its settings). When
# an object is not in the cache, its decision is looked up there, and the request goes on with what
# was found: two more look-ups in memory, and nothing that waits for the agent.
#
# An object without a decision is stored too, but in a small store of its own and briefly. Neither
# is `uncacheable`: that makes a hit-for-miss object, which for two minutes keeps the object out
# although it may be admitted meanwhile, and sends all who ask at once to the origin. So many who
# ask at once still make one fetch, and a refusal is over when the next decision comes: at the
# latest, a brief life later.
#
# Whether decisions are obeyed at all is the health of the backend `tidecast`. An agent that is
# dead, stale or has not told Varnish everything is sick, and everything goes into `main`, as
# without it.
#
# The object's id, on `edge.requests` and in the decisions, is `req.url`.

vcl 4.1;

import std;

backend tidecast {
  .host = "127.0.0.1";
  .port = "9180";
  .probe = {
    .url = "/obeyed";
    .interval = 1s;
    .timeout = 500ms;
    .window = 1;
    .threshold = 1;
    .initial = 0;
  }
}

sub vcl_recv {
  if (req.restarts == 0) {
    # What a client says of decisions is not heard.
    unset req.http.X-Tidecast-Step;
    if (req.url ~ "^/\.tidecast/") {
      if (local.socket != "tidecast") {
        return (synth(404));
      }
      if (req.url == "/.tidecast/decision" && req.method == "DELETE") {
        ban("obj.http.X-Tidecast-Verdict");
        return (synth(200));
      }
      if (req.method == "PUT" || req.method == "DELETE") {
        set req.http.X-Tidecast-Step = req.method;
        return (purge);
      }
      set req.http.X-Tidecast-Step = "show";
      return (hash);
    }
    unset req.http.X-Tidecast-Verdict;
  } elsif (req.http.X-Tidecast-Step == "PUT" || req.http.X-Tidecast-Step == "ask") {
    return (hash);
  }
}

sub vcl_hash {
  if (req.http.X-Tidecast-Step == "ask") {
    hash_data("/.tidecast/decision" + req.url);
    return (lookup);
  }
  if (req.http.X-Tidecast-Step) {
    hash_data(req.url);
    return (lookup);
  }
}

sub vcl_purge {
  if (req.http.X-Tidecast-Step == "PUT") {
    # What there was is gone; the same request, now a miss, stores the new one.
    return (restart);
  }
  if (req.http.X-Tidecast-Step) {
    return (synth(200));
  }
}

sub vcl_hit {
  if (req.http.X-Tidecast-Step == "ask") {
    set req.http.X-Tidecast-Verdict = obj.http.X-Tidecast-Verdict;
    set req.http.X-Tidecast-Step = "told";
    return (restart);
  }
  # Served stale and fetched anew behind the client's back: that fetch has to know, too.
  if (!req.http.X-Tidecast-Step && obj.ttl <= 0s && std.healthy(tidecast)) {
    set req.http.X-Tidecast-Step = "ask";
    return (restart);
  }
}

sub vcl_miss {
  if (req.http.X-Tidecast-Step == "show") {
    return (synth(404));
  }
  if (req.http.X-Tidecast-Step == "ask") {
    set req.http.X-Tidecast-Verdict = "none";
    set req.http.X-Tidecast-Step = "told";
    return (restart);
  }
  if (!req.http.X-Tidecast-Step && std.healthy(tidecast)) {
    set req.http.X-Tidecast-Step = "ask";
    return (restart);
  }
}

sub vcl_backend_fetch {
  if (bereq.http.X-Tidecast-Step == "PUT") {
    return (error(200));
  }
}

sub vcl_backend_error {
  if (bereq.http.X-Tidecast-Step == "PUT") {
    set beresp.storage = storage.decisions;
    set beresp.ttl = std.duration(bereq.http.X-Tidecast-TTL, 365d);
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    set beresp.http.X-Tidecast-Verdict = bereq.http.X-Tidecast-Verdict;
    set beresp.http.X-Tidecast-Mark = bereq.http.X-Tidecast-Mark;
    synthetic("");
    return (deliver);
  }
}

sub vcl_backend_response {
  if (bereq.http.X-Tidecast-Verdict == "none") {
    set beresp.storage = storage.rest;
    if (beresp.ttl > 60s) {
      set beresp.ttl = 60s;
    }
    set beresp.grace = 0s;
    set beresp.keep = 0s;
  } else {
    set beresp.storage = storage.main;
  }
}
