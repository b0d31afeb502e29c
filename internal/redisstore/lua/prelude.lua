-- Every script about a component begins with this.
-- KEYS[1] the state, KEYS[2] the fence, both in one cluster slot with all keys
-- derived from them. Numbers of 20 digits stay strings: a Lua number is a double.
local key, fence = KEYS[1], KEYS[2]
local side = string.sub(fence, 1, -2)
local zero = '00000000000000000000'
local hashed = 65536

local function less(a, b)
  local x, y = tonumber(string.sub(a, 1, 10)), tonumber(string.sub(b, 1, 10))
  if x ~= y then return x < y end
  return tonumber(string.sub(a, 11)) < tonumber(string.sub(b, 11))
end

local function refused(reply, k)
  if string.find(reply.err, 'WRONGTYPE', 1, true) then return {'WRONGTYPE', k} end
  return reply
end

local rec = redis.pcall('HMGET', fence, 'format', 'epoch', 'version', 'attempt', 'state', 'expires',
  'generations', 'sha1', 'length', 'quarantined', 'call', 'op')
if rec.err then return refused(rec, fence) end
local known = rec[1]
if known and known ~= '1' then return {'FORMAT', known} end
for i = 2, 12 do
  if known and not rec[i] or rec[i] and not known then return {'DAMAGED', fence} end
end
local epoch, version = rec[2] or zero, rec[3] or zero
if not string.find(epoch .. version, '^%d+$') or #epoch ~= 20 or #version ~= 20 then return {'DAMAGED', fence} end
local attempt, state = rec[4] or '', rec[5] or 'none'
local gens, sha1, length = rec[7] or '', rec[8] or '', tonumber(rec[9] or '0')
local quarantined, call, op = tonumber(rec[10] or '0'), rec[11] or '', rec[12] or ''

local size = redis.pcall('STRLEN', key)
if type(size) == 'table' then return refused(size, key) end
local exists = size > 0 or redis.call('EXISTS', key) == 1

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function head(a)
  local e, v, w = string.match(a, '^(%d+) (%d+) (%w+)$')
  if not e then return '' end
  return 'DURABLE 01 ' .. e .. ' ' .. v .. ' ' .. w .. string.rep('-', 32 - #w) .. ' '
end

-- sound tells whether the stored state is what its save left there. Above 64 KiB
-- only header and length are compared, because a digest would block the server.
local function sound()
  if not exists or size ~= length then return false end
  if size <= hashed then return redis.sha1hex(redis.call('GET', key)) == sha1 end
  local h = head(attempt)
  return h == '' or redis.call('GETRANGE', key, 0, #h - 1) == h
end

-- quarantine sets the bytes at k aside. The newest three of a component are kept.
local function quarantine(k)
  repeat quarantined = quarantined + 1 until redis.call('EXISTS', side .. 'x:' .. quarantined) == 0
  redis.call('RENAME', k, side .. 'x:' .. quarantined)
  redis.call('PERSIST', side .. 'x:' .. quarantined)
  redis.call('DEL', side .. 'x:' .. (quarantined - 3))
end

local function generation(v)
  return side .. 'g:' .. string.match(v, '^0*(%d+)$')
end

local function store()
  redis.call('HSET', fence, 'format', '1', 'epoch', epoch, 'version', version, 'attempt', attempt, 'state', state,
    'expires', rec[6] or '0', 'generations', gens, 'sha1', sha1, 'length', string.format('%.0f', length),
    'quarantined', string.format('%.0f', quarantined), 'call', call, 'op', op)
end

-- inspected applies what the client found at the state key of a component that
-- was never saved: kind, length, sha1, epoch, version, write id. It returns nil
-- when the client must look (again).
local function inspected(i)
  local kind = ARGV[i]
  if kind == '' or tonumber(ARGV[i + 1]) ~= size then return nil end
  if size <= hashed and redis.sha1hex(redis.call('GET', key)) ~= ARGV[i + 2] then return nil end
  if kind == 'foreign' or kind == 'damaged' then return kind end
  sha1, length = ARGV[i + 2], size
  if kind == 'plain' then return kind end
  version, attempt, state = ARGV[i + 4], ARGV[i + 3] .. ' ' .. ARGV[i + 4] .. ' ' .. ARGV[i + 5], 'saved'
  if less(epoch, ARGV[i + 3]) then epoch = ARGV[i + 3] end
  local left = redis.call('PTTL', key)
  rec[6] = left > 0 and string.format('%.0f', now() + left) or '0'
  return kind
end
