-- Save: KEYS[3] the staging key. ARGV: epoch, version, write id, call, TTL in ms,
-- generations to keep, length, sha1, how ('inline', 'staged', 'none'), value,
-- then what an inspection found. The answer carries the fence as it was found.
local stage = KEYS[3]
local e, v, w, mycall = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ttl, keep, len, sum, how = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local mine = e .. ' ' .. v .. ' ' .. w

local function done(...)
  if how == 'staged' then redis.call('DEL', stage) end
  return {...}
end

local found = ''
if exists and version == zero then
  found = inspected(11)
  if not found then return {'INSPECT'} end
  if found == 'foreign' then return done('FOREIGN') end
end
local before = version

-- touch gives state and generations the TTL and forgets what is gone or too old.
local function touch()
  local at = string.format('%.0f', now() + ttl)
  local function alive(k)
    if ttl > 0 then return redis.call('PEXPIREAT', k, at) == 1 end
    return redis.call('PERSIST', k) == 1 or redis.call('EXISTS', k) == 1
  end
  alive(key)
  local list, n = '', 1
  for g in string.gmatch(gens, '[^ ]+') do
    local k = generation(string.match(g, '^%d+'))
    if n >= keep then
      redis.call('DEL', k)
    elseif alive(k) then
      list, n = list .. (list == '' and '' or ' ') .. g, n + 1
    end
  end
  gens, expires = list, ttl > 0 and at or '0'
end

-- ready puts the value beside the state. It writes first, so that a server that
-- refuses writes leaves everything as it was.
local function ready()
  if how == 'inline' then
    redis.call('SET', stage, ARGV[10])
    return true
  end
  local h = head(mine)
  return redis.call('STRLEN', stage) == len and redis.call('GETRANGE', stage, 0, #h - 1) == h
end

if less(e, epoch) then return done('FENCED', epoch, version) end

if not less(version, v) then
  if attempt ~= mine or state ~= 'saved' then
    local own = string.find(' ' .. gens .. ' ', ' ' .. v .. ',' .. w .. ',' .. mycall .. ' ', 1, true)
    return done(own and 'OK' or 'CONFLICT', epoch, version)
  end
  local there = exists and size == length
  if there and how ~= 'none' then there = sound() end
  if not there then
    if how == 'none' then return {'LOST', epoch, version} end
    if not ready() then return {'NOSTAGE'} end
    if exists then quarantine(key) end
    redis.call('RENAME', stage, key)
    sha1, length = sum, len
  end
  touch()
  store()
  return there and done('OK', epoch, version) or {'OK', epoch, version}
end

if how == 'none' then return {'LOST', epoch, version} end
local whole = exists and (state == 'saved' or found == 'plain') and sound()
if not ready() then return {'NOSTAGE'} end
if whole then
  local _, old, oldid = string.match(attempt, '^(%d+) (%d+) (%w+)$')
  old = old or zero
  redis.call('RENAME', key, generation(old))
  gens = old .. ',' .. (oldid or '-') .. ',' .. (call == '' and '-' or call) .. (gens == '' and '' or ' ' .. gens)
elseif exists then
  quarantine(key)
end
redis.call('RENAME', stage, key)
epoch, version, attempt, state, call, sha1, length = e, v, mine, 'saved', mycall, sum, len
touch()
store()
return {'OK', epoch, before}
