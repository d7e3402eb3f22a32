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
# latest, a brief life later. What does not want it whole (a range, a HEAD, a copy to be compared)
# does not store it either, and goes on to the origin as it is.
#
# Whether decisions are obeyed at all is the health of the backend `tidecast`. An agent that is
# dead, stale or has not told Varnish everything is sick, and everything goes into `main`, as
# without it.
#
# What becomes of a miss is all that decisions make a difference to: an object is found under the
# same name whether they are obeyed or not, its URL, host and scheme. The object's id, on
# `edge.requests` and in the decisions, is what the sub `tidecast_object` says that it is.

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
    unset req.http.X-Tidecast-Object;
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
    # Nor what the origin may answer by, and is in no name: one could plant for the others what it
    # asks for. The scheme is in the name, and comes from who ends TLS before this.
    unset req.http.X-Forwarded-Host;
    unset req.http.X-Forwarded-Port;
    unset req.http.Forwarded;
    if (req.http.X-Forwarded-Proto != "https") {
      set req.http.X-Forwarded-Proto = "http";
    }
    call tidecast_object;
  } elsif (req.http.X-Tidecast-Step == "PUT" || req.http.X-Tidecast-Step == "ask") {
    return (hash);
  }
}

sub vcl_hash {
  if (req.http.X-Tidecast-Step == "ask") {
    hash_data("/.tidecast/decision?" + req.http.X-Tidecast-Object);
    return (lookup);
  }
  if (req.http.X-Tidecast-Step && req.http.X-Tidecast-Step != "told") {
    hash_data(req.url);
    return (lookup);
  }
  # Varnish's own sub goes on with URL and host.
  hash_data(req.http.X-Forwarded-Proto);
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
  if (req.http.X-Tidecast-Verdict == "none" && (
    req.method == "HEAD" || req.http.If-None-Match || req.http.If-Modified-Since ||
    (req.http.Range && req.http.Range != "bytes=0-")
  )) {
    set req.http.X-Tidecast-Step = "part";
    return (pass);
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
  if (beresp.http.Cache-Control ~ "(?i)(must|proxy)-revalidate") {
    set beresp.grace = 0s;
  }
  # A date that is none, as `0`, is in the past (RFC 9111, 5.3); Varnish would take its default.
  if (
    beresp.http.Expires && beresp.http.Cache-Control !~ "(?i)(max-age|s-maxage)=" &&
    std.time(beresp.http.Expires, now) <= now
  ) {
    set beresp.ttl = 0s;
  }
  if (bereq.http.X-Tidecast-Verdict == "none") {
    set beresp.storage = storage.rest;
    if (beresp.ttl > 60s) {
      set beresp.ttl = 60s;
    }
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    # What a store has no room for would break off in the middle: it goes by the cache.
    if (
      std.bytes(beresp.http.Content-Length + "B", 0B) >
      storage.rest.free_space + storage.rest.used_space
    ) {
      set beresp.uncacheable = true;
    }
  } else {
    set beresp.storage = storage.main;
    if (
      std.bytes(beresp.http.Content-Length + "B", 0B) >
      storage.main.free_space + storage.main.used_space
    ) {
      set beresp.ttl = 60s;
      set beresp.uncacheable = true;
    }
  }
}

# What `edge.requests` is to have, for varnishncsa: only requests that a cache can spare the origin.
sub vcl_deliver {
  if (
    (!obj.uncacheable || req.http.X-Tidecast-Step == "part") &&
    (!req.http.X-Tidecast-Step || req.http.X-Tidecast-Step ~ "^(told|part)$") &&
    (
      resp.status == 200 || resp.status == 203 || resp.status == 206 || resp.status == 300 ||
      resp.status == 301 || resp.status == 302 || resp.status == 304 || resp.status == 308
    ) &&
    !resp.http.Set-Cookie && resp.http.Cache-Control !~ "(?i)no-store|no-cache|private" &&
    req.http.X-Tidecast-Object ~ "^[!-~]{1,2048}$"
  ) {
    std.log("object:" + req.http.X-Tidecast-Object);
    if (obj.hits > 0) {
      std.log("hit:true");
    } else {
      std.log("hit:false");
    }
    if (req.method == "GET" && resp.status == 200 && resp.http.Content-Length) {
      std.log("size:" + resp.http.Content-Length);
    } else {
      std.log("size:null");
    }
  }
}
