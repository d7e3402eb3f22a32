-- Decisions of tidecast in nginx: a copy in shared memory, kept by one timer of one worker.
--
-- A request looks into that copy and nowhere else: nothing in its path waits for the agent. What
-- the copy holds ends by itself: each decision when it expires, and the obedience as such when
-- nothing was heard of the agent for its lease. Then every response is stored, as without it.
--
--   tidecast          (lua_shared_dict)  decisions: "d:" .. object -> verdict; and the state:
--                                        "obeyed", which lives as long as the lease
--   tidecast_requests (lua_shared_dict)  requests in this window for objects without a decision

local cjson = require "cjson.safe"

local DECISIONS = ngx.shared.tidecast
local REQUESTS = ngx.shared.tidecast_requests

local WAIT = 5 -- seconds that the agent may hold an answer back until something changes
local TIMEOUT = 3000 -- milliseconds, beyond that
local RETRY = 1 -- seconds
local LARGEST = 16 * 1024 * 1024 -- bytes of an answer

local _M = {}
local agent = "unix:/run/tidecast/edge.sock"

-- --------------------------------------------------------------------- in the path of a request

-- Whether the response for an object is to be stored.
function _M.stores(object)
  if not DECISIONS:get("obeyed") or DECISIONS:get("d:" .. object) then
    return true
  end
  local burst = DECISIONS:get("burst")
  if not burst or burst == 0 then
    return false
  end
  -- A newcomer that outdoes what is kept does not wait for the end of the window.
  local key = (DECISIONS:get("epoch") or "") .. ":" .. object
  local count = REQUESTS:incr(key, 1, 0, DECISIONS:get("window"))
  return count ~= nil and count >= burst
end

-- --------------------------------------------------------------------- beside it

-- The next changes, decoded; or nil and what is wrong.
local function ask(cursor)
  local socket = ngx.socket.tcp()
  socket:settimeout(WAIT * 1000 + TIMEOUT)
  local ok, err = socket:connect(agent)
  if not ok then
    return nil, err
  end
  -- HTTP/1.0: the answer is one piece, and the connection ends with it.
  local _, sent = socket:send("GET /changes?since=" .. cursor .. "&wait=" .. WAIT .. " HTTP/1.0\r\n\r\n")
  if sent then
    return nil, sent
  end
  local status
  status, err = socket:receive("*l")
  if not status then
    return nil, err
  end
  local length
  repeat
    local line
    line, err = socket:receive("*l")
    if not line then
      return nil, err
    end
    length = tonumber(line:match("^[Cc]ontent%-[Ll]ength:%s*(%d+)")) or length
  until line == ""
  if not status:match("^HTTP/1%.[01] 200") or not length or length > LARGEST then
    socket:close()
    return nil, "got " .. status
  end
  local body
  body, err = socket:receive(length)
  socket:close()
  if not body then
    return nil, err
  end
  return cjson.decode(body)
end

-- Puts the changes into the copy. Everything that a request needs is there before it is obeyed.
local function apply(answer)
  if answer.reset then
    DECISIONS:delete("obeyed")
    DECISIONS:flush_all()
    DECISIONS:flush_expired()
  end
  for _, change in ipairs(answer.changes) do
    local key, verdict, expires_in = "d:" .. change[1], change[2], change[3]
    if verdict == cjson.null or expires_in <= 0 then
      DECISIONS:delete(key)
    else
      -- Without room the object takes the default; another's decision is not put out for it.
      local ok, err = DECISIONS:safe_set(key, verdict, expires_in)
      if not ok then
        ngx.log(ngx.ERR, "tidecast: ", err, "; enlarge lua_shared_dict tidecast")
      end
    end
  end
  DECISIONS:set("epoch", answer.epoch)
  DECISIONS:set("window", answer.window)
  DECISIONS:set("burst", answer.burst)
  if answer.obeyed and answer.lease > 0 and not answer.more then
    DECISIONS:set("obeyed", true, answer.lease)
  elseif not answer.obeyed then
    DECISIONS:delete("obeyed")
  end
  DECISIONS:set("cursor", answer.cursor)
end

local function follow(premature)
  local cursor = DECISIONS:get("cursor") or ""
  while not premature and not ngx.worker.exiting() do
    local answer, err = ask(cursor)
    if answer then
      apply(answer)
      cursor = answer.cursor
    else
      ngx.log(ngx.WARN, "tidecast: no answer from ", agent, ": ", err)
      ngx.sleep(RETRY)
    end
  end
end

-- To be called in init_worker_by_lua. `socket` is where the agent listens: "unix:/path".
function _M.start(socket)
  agent = socket or agent
  if ngx.worker.id() ~= 0 then
    return
  end
  local function keep()
    -- A worker that was replaced takes over where it was; one that fails begins anew.
    local ok, err = pcall(follow, false)
    if not ok then
      ngx.log(ngx.ERR, "tidecast: ", err)
    end
    if not ngx.worker.exiting() then
      ngx.timer.at(RETRY, keep)
    end
  end
  ngx.timer.at(0, keep)
end

-- What is known, for an operator.
function _M.status()
  return cjson.encode({
    obeyed = DECISIONS:get("obeyed") or false,
    lease = DECISIONS:ttl("obeyed") or 0,
    cursor = DECISIONS:get("cursor") or "",
    epoch = DECISIONS:get("epoch") or -1,
    burst = DECISIONS:get("burst") or 0,
    free_bytes = DECISIONS:free_space(),
  })
end

return _M
