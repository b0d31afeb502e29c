-- Batch: saves, claims and refreshes of any number of components, each on its
-- own. KEYS: state and fence of each. ARGV: TTL in ms, generations to keep, and
-- four for each component: 'save', value, sha1, call; 'claim', epoch, '', '';
-- 'touch', attempt, '', ''. A component that needs more thought than the usual
-- is answered 'SLOW' and left as it is; a string of digits means done and is the
-- version that was found.
local KEYS, ARGV, tonumber, pcall, gmatch = KEYS, ARGV, tonumber, pcall, string.gmatch
local call, try, sha1hex = redis.call, redis.pcall, redis.sha1hex
local sub, find, match, format = string.sub, string.find, string.match, string.format
local zero = '00000000000000000000'
local ttl, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = '0000000000000'
if ttl > 0 then
  local t = call('TIME')
  at = format('%013.0f', tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + ttl)
end

local function less(a, b)
  if a == b then return false end
  local x, y = tonumber(sub(a, 1, 10)), tonumber(sub(b, 1, 10))
  if x ~= y then return x < y end
  return tonumber(sub(a, 11)) < tonumber(sub(b, 11))
end

local function alive(k)
  if ttl > 0 then return call('PEXPIREAT', k, at) == 1 end
  return call('PERSIST', k) == 1 or call('EXISTS', k) == 1
end

-- refreshed gives older generations the TTL and returns the list without what is
-- gone or too old. What is too old goes at the end, together.
local old = {}
local function refreshed(side, gens)
  local list, n = '', 1
  for entry, v in gmatch(gens, '(0*(%d+),[^ ]+)') do
    local k = side .. v
    if n >= keep then
      old[#old + 1] = k
    elseif alive(k) then
      list, n = n == 1 and entry or list .. ' ' .. entry, n + 1
    end
  end
  return list
end

local fresh = 'FENCE 2 00000000000000000000 00000000000000000000 n 0000000000 0000000000000 0000000000 ' ..
  '---------------------------------------- ------------ ------------ |'

-- fenceOf returns the fence, a fresh one for a component that is new, with the
-- place of its bar; the third result tells whether it is stored. It returns nil
-- for what it cannot read.
local function fenceOf(i)
  local rec = try('GET', KEYS[2 * i])
  if not rec then
    if try('EXISTS', KEYS[2 * i - 1]) ~= 0 then return nil end
    return fresh, 156, false
  end
  if type(rec) ~= 'string' or #rec < 156 then return nil end
  local _, numbers = find(rec, '^FENCE 2 %d+ %d+ [sdn] %d+ ')
  local bar = find(rec, '|', 156, true)
  if numbers ~= 63 or not bar or match(rec, '|', bar + 1) then return nil end
  return rec, bar, true
end

-- A server that refuses writes refuses the first one of a script, and only that.
-- refusal asks for it with one that changes nothing, or only a new fence.
local passed = false
local function refusal(k)
  if passed then return nil end
  local r = try('SET', k, fresh, 'NX')
  if type(r) == 'table' and r.err then return r.err end
  passed = true
end

local function save(i, a)
  local key, fence, value = KEYS[2 * i - 1], KEYS[2 * i], ARGV[a + 1]
  local rec, bar, known = fenceOf(i)
  if not rec then return 'SLOW' end
  local version, letter = sub(rec, 30, 49), sub(rec, 51, 51)
  local e, v = sub(value, 12, 31), sub(value, 33, 52)
  if e ~= sub(rec, 9, 28) and less(e, sub(rec, 9, 28)) then return {'FENCED', sub(rec, 9, 28), version} end
  if not less(version, v) then return 'SLOW' end
  local side, gens = sub(fence, 1, -2) .. 'g:', sub(rec, bar + 1)
  local last
  if letter == 's' then
    local s = try('GETRANGE', key, 0, 65536)
    if type(s) ~= 'string' or bar < 199 or #s ~= tonumber(sub(rec, 53, 62)) or sha1hex(s) ~= sub(rec, 89, 128) then
      return 'SLOW'
    end
    last = sub(rec, 177, 196)
    gens = last .. ',' .. sub(rec, 198, bar - 1) .. ',' .. sub(rec, 130, 141) .. (gens == '' and '' or ' ') .. gens
  elseif known and try('EXISTS', key) ~= 0 then
    return 'SLOW'
  end
  local err = refusal(fence)
  if err then return {'ERR', err} end
  if last then call('RENAME', key, side .. match(last, '^0*(%d+)$')) end
  if ttl > 0 then
    call('SET', key, value, 'PX', ARGV[1])
  else
    call('SET', key, value)
  end
  if gens ~= '' then gens = refreshed(side, gens) end
  call('SET', fence, 'FENCE 2 ' .. e .. ' ' .. v .. ' s ' .. format('%010.0f', #value) .. ' ' .. at .. sub(rec, 77, 88) ..
    ARGV[a + 2] .. ' ' .. ARGV[a + 3] .. sub(rec, 142, 155) .. e .. ' ' .. v .. ' ' .. match(value, '^%w+', 54) .. '|' .. gens)
  return version
end

local function claim(i, a)
  local key, fence, e = KEYS[2 * i - 1], KEYS[2 * i], ARGV[a + 1]
  local rec, _, known = fenceOf(i)
  if not rec then return 'SLOW' end
  local epoch, version = sub(rec, 9, 28), sub(rec, 30, 49)
  if known and version == zero and try('EXISTS', key) ~= 0 then return 'SLOW' end
  if e == epoch and known then return version end
  if less(e, epoch) then return {'FENCED', epoch, version} end
  rec = 'FENCE 2 ' .. e .. sub(rec, 29)
  local r = try('SET', fence, rec)
  if type(r) == 'table' and r.err then return {'ERR', r.err} end
  passed = true
  return version
end

local function touch(i, a)
  local key, fence, mine = KEYS[2 * i - 1], KEYS[2 * i], ARGV[a + 1]
  local rec, bar = fenceOf(i)
  if not rec or sub(rec, 51, 51) ~= 's' or sub(rec, 156, bar - 1) ~= mine then return 'SLOW' end
  local epoch, version = sub(rec, 9, 28), sub(rec, 30, 49)
  if less(sub(mine, 1, 20), epoch) then return {'FENCED', epoch, version} end
  if try('STRLEN', key) ~= tonumber(sub(rec, 53, 62)) then return 'SLOW' end
  alive(key)
  call('SET', fence, sub(rec, 1, 63) .. at .. sub(rec, 77, bar) .. refreshed(sub(fence, 1, -2) .. 'g:', sub(rec, bar + 1)))
  return version
end

local out, later = {}, {}
local function one(f, i, a)
  local ok, r = pcall(f, i, a)
  if not ok then r = {'ERR', type(r) == 'table' and r.err or tostring(r)} end
  out[i] = r
end
for i = 1, #KEYS / 2 do
  local a = 4 * i - 1
  local kind = ARGV[a]
  if kind == 'save' then one(save, i, a) elseif kind == 'claim' then one(claim, i, a) else later[#later + 1] = i end
end
-- Refreshes come last: a full server accepts them, and then whatever follows.
for _, i in ipairs(later) do one(touch, i, 4 * i - 1) end
-- No more at a time than the stack of any server's Lua holds.
for i = 1, #old, 100 do call('DEL', (table.unpack or unpack)(old, i, math.min(i + 99, #old))) end
return out
