-- Save: KEYS[3] the staging key. ARGV: epoch, version, write id, call, TTL in ms,
-- generations to keep or 0 for all, length, bits that are set, how ('inline', 'staged', 'none'),
-- value, then what an inspection found. The answer carries the fence as it was found.
local stage = KEYS[3]
local e, v, w, mycall = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ttl, keep, len, bits, how = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local all = keep == 0 and 512 or keep -- a fence has no room for more by far
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

local started = now()
local expired = keep > 0 and state == 'saved' and not exists and tonumber(expires) > 0 and tonumber(expires) <= started

-- touch gives the state the TTL and the generations twice that, so that they need
-- it again only after as long, and forgets what is gone, too old or expired.
local function touch()
  local at, most = string.format('%.0f', started + ttl), string.format('%.0f', started + 2 * ttl)
  local function alive(k, ms)
    if ttl > 0 then return redis.call('PEXPIREAT', k, ms) == 1 end
    return redis.call('PERSIST', k) == 1 or redis.call('EXISTS', k) == 1
  end
  alive(key, at)
  local list, n = '', 1
  for g in string.gmatch(gens, '[^ ]+') do
    local k = generation(string.match(g, '^%d+'))
    if n >= all or expired then
      redis.call('DEL', k)
    elseif alive(k, most) then
      list, n = list .. (list == '' and '' or ' ') .. g, n + 1
    end
  end
  gens, expires, lives = list, ttl > 0 and at or '0', ttl > 0 and most or '9999999999999'
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
  if there and how == 'staged' then there = sound() end
  local stored = there and how == 'inline' and redis.call('GET', key)
  if stored and stored ~= ARGV[10] then -- does it verify?
    if tonumber(ARGV[12]) ~= size or redis.sha1hex(stored) ~= ARGV[13] then return {'INSPECT'} end
    there = ARGV[11] == 'snapshot' and ARGV[14] .. ' ' .. ARGV[15] .. ' ' .. ARGV[16] == mine
  end
  if not there then
    if how == 'none' then return {'LOST', epoch, version} end
    if not ready() then return {'NOSTAGE'} end
    if exists then quarantine(key) end
    redis.call('RENAME', stage, key)
    length, ones, digest = len, bits, ''
  end
  touch()
  store()
  return there and done('OK', epoch, version) or {'OK', epoch, version}
end

if how == 'none' then return {'LOST', epoch, version} end
local whole = exists and (state == 'saved' or found == 'plain') and sound()
if whole and ARGV[11] == 'damaged' and size <= hashed then -- the client has seen that it does not verify
  whole = redis.sha1hex(redis.call('GET', key)) ~= ARGV[13]
end
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
epoch, version, attempt, state, call, length, ones, digest = e, v, mine, 'saved', mycall, len, bits, ''
touch()
store()
return {'OK', epoch, before}
