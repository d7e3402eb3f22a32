-- Which responses may not be stored, learnt from the latest of each, so that nobody waits for one.
--
-- proxy_cache_lock has all who ask at once wait for the first. Where its response is then not stored
-- they would go one by one, half a second apart. So those who ask while nothing is known wait here,
-- until the first one's headers have come: then all go on, to the lock or by it.
--
--   tidecast_storable (lua_shared_dict)  name in the cache -> "asked", "yes" or "no"

local KNOWN = ngx.shared.tidecast_storable

local PATIENCE = 5 -- seconds: as proxy_cache_lock_timeout has it
local LOOK = 0.01 -- seconds between two looks
local YES = 3600 -- seconds that what was learnt is good for: one who asks finds out anew
local NO = 120
local BROKEN = 2 -- of an origin that fails: it may be well again
-- What proxy_cache_valid of tidecast_cache.conf stores where the origin does not say.
local STORED = { [200] = true, [301] = true, [302] = true }

local _M = {}

-- Whether the response to a request may be stored, as far as is known. Waits for whoever asked
-- first, if nothing is.
function _M.may_be()
  local name = ngx.var.stored_as
  for _ = 1, PATIENCE / LOOK do
    local known = KNOWN:get(name)
    if known == "yes" then
      return true
    elseif known == "no" then
      return false
    elseif not known and KNOWN:add(name, "asked", PATIENCE) then
      ngx.var.first = name
      return true
    end
    ngx.sleep(LOOK)
  end
  return false
end

-- The origin's status: the client's own may be 304, for what the origin was not told of.
local function status()
  return tonumber((ngx.var.upstream_status or ""):match("(%d+)$")) or ngx.status
end

-- All fields of a header in one line, in lower case.
local function field(name)
  local found = ngx.header[name] or ""
  return (type(found) == "table" and table.concat(found, ",") or tostring(found)):lower()
end

-- Whether nginx stores the response whose headers are there, by the same rules as nginx.
local function is_stored()
  if field("Set-Cookie") ~= "" or field("Vary"):find("*", 1, true) then
    return false
  end
  local accelerated = ngx.var.upstream_http_x_accel_expires
  if accelerated then
    return accelerated ~= "0"
  end
  local control = field("Cache-Control")
  for _, word in ipairs({ "no%-store", "no%-cache", "private" }) do
    if control:find(word) then
      return false
    end
  end
  local age = control:match("s%-maxage=(%d+)") or control:match("max%-age=(%d+)")
  if age then
    return tonumber(age) > 0
  end
  local expires = ngx.var.upstream_http_expires
  if expires then
    return (ngx.parse_http_time(expires) or 0) > ngx.time()
  end
  return STORED[status()] or false
end

-- To be called in header_filter_by_lua: an origin that fails may have forbidden to be stood in for.
function _M.check_stale()
  if ngx.var.upstream_cache_status == "STALE" then
    local control = field("Cache-Control")
    if control:find("must%-revalidate") or control:find("proxy%-revalidate") then
      ngx.exit(ngx.HTTP_GATEWAY_TIMEOUT)
    end
  end
end

-- To be called in header_filter_by_lua of a location that stores.
function _M.learn()
  local how = ngx.var.upstream_cache_status
  if how ~= "MISS" and how ~= "EXPIRED" then
    KNOWN:set(ngx.var.stored_as, "yes", YES) -- it came from the cache
  elseif is_stored() then
    KNOWN:set(ngx.var.stored_as, "yes", YES)
  else
    KNOWN:set(ngx.var.stored_as, "no", status() >= 500 and BROKEN or NO)
  end
end

-- To be called in log_by_lua there: the first one is gone, and nothing was learnt.
function _M.give_up()
  local name = ngx.var.first
  if name ~= "" and KNOWN:get(name) == "asked" then
    KNOWN:delete(name)
  end
end

return _M
