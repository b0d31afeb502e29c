-- Batch: saves, claims and refreshes of any number of components, each on its
-- own. KEYS: their states, then their fences. ARGV: TTL in ms, generations to keep,
-- and two for each component: 's', the name of the call and how many bits of the
-- value are set, then the value; 'c', then the epoch; 't', then the attempt. A component that needs more thought than the usual is
-- answered 'SLOW' and left as it is; 20 digits mean done and are the version that
-- was found.
--
-- All fences are read first and written before anything else is: a server that
-- refuses writes refuses the first one of a script, and only that.
local KEYS, ARGV, tonumber, pcall, gmatch = KEYS, ARGV, tonumber, pcall, string.gmatch
local call, try, unpack = redis.call, redis.pcall, table.unpack or unpack
local sub, find, match, byte, format = string.sub, string.find, string.match, string.byte, string.format
local zero, forever = '00000000000000000000', 9999999999999
local dashes = '----------------------------------------'
local ttl, keep = tonumber(ARGV[1]), tonumber(ARGV[2])

-- until when a state lives, and at most an older generation
local at, most = forever, forever
local ats, mosts = '0000000000000', format('%.0f', forever)
if ttl > 0 then
  local t = call('TIME')
  at = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + ttl
  most = at + ttl
  ats, mosts = format('%013.0f', at), format('%013.0f', most)
end

local n = #KEYS / 2
local recs = try('MGET', unpack(KEYS, n + 1))
if recs.err then return recs end

local function less(a, b)
  local x, y = tonumber(a), tonumber(b)
  if x and y and x ~= y then return x < y end -- rounded, but in order
  x, y = sub(a, 1, 10), sub(b, 1, 10)
  if x ~= y then return tonumber(x) < tonumber(y) end
  return tonumber(sub(a, 11)) < tonumber(sub(b, 11))
end

local fresh = 'FENCE 2 ' .. zero .. ' ' .. zero .. ' n 0000000000 0000000000000 0000000000 ' .. dashes .. ' ------------ ------------ |'

-- fenceOf returns the fence, a fresh one for a component that is new, with the
-- place of its bar; nothing for what it cannot read.
local function fenceOf(i)
  local rec = recs[i]
  if not rec then -- or of another type
    if try('EXISTS', KEYS[n + i], KEYS[i]) ~= 0 then return nil end
    return fresh, 156
  end
  if #rec < 156 or #rec > 65536 then return nil end
  local _, numbers = find(rec, '^FENCE 2 %d+ %d+ [sdn] %d+ ')
  local bar = find(rec, '|', 156, true)
  if numbers ~= 63 or not bar or find(rec, '|', bar + 1, true) then return nil end
  return rec, bar
end

-- lives returns until when the older generations of a fence live at least.
local function lives(rec)
  return byte(rec, 102) == 45 and tonumber(sub(rec, 89, 101)) or 0
end

-- here tells whether the state is what its save left there: the fields of its
-- header that name the save, and how many of its bits are set, which costs a
-- fraction of a digest. A large one is not for a batch. Numbers among arguments are
-- slow.
local ends = {}
local function here(key, attempt, ones)
  if not ones or try('BITCOUNT', key, '0', '65535') ~= ones then return false end
  local n = #attempt
  local last = ends[n] or format('%d', n + 11)
  ends[n] = last
  return try('GETRANGE', key, '11', last) == attempt .. (n == 74 and ' ' or '-')
end

-- What is to be done once the fences are written.
local lines, lasts, kept, drops, old = {}, {}, {}, {}, {}

local function save(i)
  local key, op, value = KEYS[i], ARGV[2 * i + 1], ARGV[2 * i + 2]
  local rec, bar = fenceOf(i)
  if not rec then return 'SLOW' end
  local e, epoch, version = sub(value, 12, 31), sub(rec, 9, 28), sub(rec, 30, 49)
  if e ~= epoch and less(e, epoch) then return {'FENCED', epoch, version} end
  if not less(version, sub(value, 33, 52)) then return 'SLOW' end
  local gens, till = '', mosts
  if byte(rec, 51) == 115 then
    local attempt = sub(rec, 156, bar - 1)
    if not here(key, attempt, tonumber(sub(rec, 103, 112))) then return 'SLOW' end
    if keep > 1 then
      local last = sub(attempt, 22, 41)
      lasts[i] = match(last, '^0*(%d+)$')
      gens = last .. ',' .. sub(attempt, 43) .. ',' .. sub(rec, 130, 141)
    end
    local cut = bar -- what follows it is too old
    for _ = 3, keep do
      cut = cut and find(rec, ' ', cut + 1, true)
    end
    if cut and cut < #rec then drops[i] = cut end
    local rest = sub(rec, bar + 1, cut and cut - 1)
    if rest ~= '' then
      gens = gens .. ' ' .. rest
      local l = lives(rec)
      if l < at or l > most then kept[i] = rest else till = sub(rec, 89, 101) end
    end
  elseif recs[i] and (#rec > bar or try('EXISTS', key) ~= 0) then
    return 'SLOW'
  end
  local numbers = sub(value, 12, 53)
  lines[i] = 'FENCE 2 ' .. numbers .. 's ' .. format('%010d', #value) .. ' ' .. ats .. sub(rec, 77, 88) ..
    till .. '-' .. sub(op, 14, 23) .. '---------------- ' .. sub(op, 2, 13) .. sub(rec, 142, 155) ..
    numbers .. match(value, '^%w+', 54) .. '|' .. gens
  return version
end

local function claim(i)
  local e = ARGV[2 * i + 2]
  local rec = fenceOf(i)
  if not rec then return 'SLOW' end
  local epoch, version = sub(rec, 9, 28), sub(rec, 30, 49)
  if recs[i] and version == zero and try('EXISTS', KEYS[i]) ~= 0 then return 'SLOW' end
  if e ~= epoch and less(e, epoch) then return {'FENCED', epoch, version} end
  if e ~= epoch or not recs[i] then lines[i] = 'FENCE 2 ' .. e .. sub(rec, 29) end
  return version
end

local function alive(k, ms)
  if ttl > 0 then return call('PEXPIREAT', k, ms) == 1 end
  return call('PERSIST', k) == 1 or call('EXISTS', k) == 1
end

local function put(i)
  local key, side = KEYS[i], sub(KEYS[n + i], 1, -2) .. 'g:'
  if lasts[i] then
    local k = side .. lasts[i]
    call('RENAME', key, k)
    alive(k, mosts)
  end
  if ttl > 0 then
    call('SET', key, ARGV[2 * i + 2], 'PXAT', ats)
  else
    call('SET', key, ARGV[2 * i + 2])
  end
  local cut = drops[i]
  while cut do
    local v, stop = match(recs[i], '^0*(%d+),[^ ]*()', cut + 1)
    old[#old + 1] = v and side .. v
    cut = v and stop < #recs[i] and stop
  end
  if kept[i] then
    for v in gmatch(kept[i], '0*(%d+),[^ ]+') do alive(side .. v, mosts) end
  end
end

local function touch(i)
  local key, mine = KEYS[i], ARGV[2 * i + 2]
  local rec, bar = fenceOf(i)
  if not rec or byte(rec, 51) ~= 115 or sub(rec, 156, bar - 1) ~= mine then return 'SLOW' end
  local epoch, version = sub(rec, 9, 28), sub(rec, 30, 49)
  if less(sub(mine, 1, 20), epoch) then return {'FENCED', epoch, version} end
  if try('STRLEN', key) ~= tonumber(sub(rec, 53, 62)) then return 'SLOW' end
  alive(key, ats)
  local list, count = '', 1
  for g, v in gmatch(sub(rec, bar + 1), '(0*(%d+),[^ ]+)') do
    local k = sub(KEYS[n + i], 1, -2) .. 'g:' .. v
    if count >= keep then
      old[#old + 1] = k
    elseif alive(k, mosts) then
      list, count = count == 1 and g or list .. ' ' .. g, count + 1
    end
  end
  local ones = byte(rec, 102) == 45 and sub(rec, 102, 128) or sub(dashes, 1, 27)
  lines[i] = sub(rec, 1, 63) .. ats .. sub(rec, 77, 88) .. mosts .. ones .. sub(rec, 129, bar) .. list
  return version
end

local out = {}
local function one(f, i)
  local ok, r = pcall(f, i)
  if ok then return r end
  return {'ERR', type(r) == 'table' and r.err or tostring(r)}
end

-- undo takes a fence back whose state could not be put in place, as when the user
-- lacks a right or a key is being moved to another node.
local function undo(i)
  if recs[i] then try('MSET', KEYS[n + i], recs[i]) else try('DEL', KEYS[n + i]) end
  if lasts[i] and try('EXISTS', KEYS[i]) == 0 then try('RENAME', sub(KEYS[n + i], 1, -2) .. 'g:' .. lasts[i], KEYS[i]) end
end

-- written puts the fences of the components in list in place.
local function written(list)
  local pairs = {}
  for _, i in ipairs(list) do
    if lines[i] then
      local p = #pairs
      pairs[p + 1], pairs[p + 2] = KEYS[n + i], lines[i]
    end
  end
  local r = #pairs > 0 and try('MSET', unpack(pairs))
  return type(r) == 'table' and r.err
end

local first, later, seen = {}, {}, {}
for i = 1, n do
  local kind = byte(ARGV[2 * i + 1])
  if seen[KEYS[i]] then
    out[i] = 'SLOW' -- what comes first changes what this one finds
  elseif kind == 116 then
    later[#later + 1] = i
  else
    first[#first + 1] = i
    out[i] = one(kind == 115 and save or claim, i)
  end
  seen[KEYS[i]] = true
end
local err = written(first)
for _, i in ipairs(first) do
  if lines[i] and err then
    out[i] = {'ERR', err}
  elseif lines[i] and byte(ARGV[2 * i + 1]) == 115 then
    local r = one(put, i)
    if r then
      out[i] = r
      undo(i)
    end
  end
end
-- Refreshes come last: a full server accepts them, and then whatever follows.
for _, i in ipairs(later) do out[i] = one(touch, i) end
written(later)
-- No more at a time than the stack of any server's Lua holds.
for i = 1, #old, 100 do call('DEL', unpack(old, i, math.min(i + 99, #old))) end
return out
