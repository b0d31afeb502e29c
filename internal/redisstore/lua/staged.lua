-- The usual save of a large value: the state is what the last save left there, the
-- value is staged, and both are large. Whatever else is the case is for what follows,
-- which costs twice as much because it must know it all. KEYS, ARGV, the fence's line
-- and the order of writes are those of save.lua.
if ARGV[9] == 'staged' then
  local call, try, sub, byte = redis.call, redis.pcall, string.sub, string.byte
  local find, match, format = string.find, string.match, string.format
  local key, fence, stage, e, v = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]

  local function less(a, b)
    local x, y = tonumber(a), tonumber(b)
    if x ~= y then return x < y end -- rounded, but in order
    x, y = tonumber(sub(a, 1, 10)), tonumber(sub(b, 1, 10))
    if x ~= y then return x < y end
    return tonumber(sub(a, 11)) < tonumber(sub(b, 11))
  end

  -- holds tells whether at k there is the large value of an attempt.
  local function holds(k, attempt, length)
    return length > 65536 and try('STRLEN', k) == length and
      try('GETRANGE', k, '0', '85') == 'DURABLE 01 ' .. attempt .. string.rep('-', 74 - #attempt) .. ' '
  end

  local function usual()
    local rec, keep, ttl = try('GET', fence), tonumber(ARGV[6]), tonumber(ARGV[5])
    if type(rec) ~= 'string' or #rec < 156 or keep < 2 then return end
    local _, numbers = find(rec, '^FENCE 2 %d+ %d+ s %d+ ')
    local bar = find(rec, '|', 156, true)
    if numbers ~= 63 or not bar or find(rec, '|', bar + 1, true) or byte(rec, 102) ~= 45 then return end
    local version, attempt, mine = sub(rec, 30, 49), sub(rec, 156, bar - 1), e .. ' ' .. v .. ' ' .. ARGV[3]
    if less(e, sub(rec, 9, 28)) or not less(version, v) then return end
    if not holds(key, attempt, tonumber(sub(rec, 53, 62))) or not holds(stage, mine, tonumber(ARGV[7])) then return end
    return rec, bar, version, attempt, mine, keep, ttl
  end

  local rec, bar, version, attempt, mine, keep, ttl = usual()
  if rec then
    local side = sub(fence, 1, -2) .. 'g:'
    -- Until when the state lives, and at most an older generation.
    local at, most = 9999999999999, 9999999999999
    if ttl > 0 then
      local t = call('TIME')
      at = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + ttl
      most = at + ttl
    end
    local ats, mosts = ttl > 0 and format('%013.0f', at) or '0000000000000', format('%013.0f', most)
    local function alive(k, ms)
      if ttl > 0 then call('PEXPIREAT', k, ms) else call('PERSIST', k) end
    end
    local last = sub(attempt, 22, 41)
    local gens, till, cut = last .. ',' .. sub(attempt, 43) .. ',' .. sub(rec, 130, 141), mosts, bar
    for _ = 3, keep do cut = cut and find(rec, ' ', cut + 1, true) end
    local rest = sub(rec, bar + 1, cut and cut - 1)
    last = side .. match(last, '^0*(%d+)$')
    call('RENAME', key, last)
    call('RENAME', stage, key)
    alive(key, ats)
    alive(last, mosts)
    if rest ~= '' then
      gens = gens .. ' ' .. rest
      local l = tonumber(sub(rec, 89, 101))
      if l and l >= at and l <= most then
        till = sub(rec, 89, 101)
      else
        for g in string.gmatch(rest, '0*(%d+),[^ ]+') do alive(side .. g, mosts) end
      end
    end
    for g in string.gmatch(cut and sub(rec, cut + 1) or '', '0*(%d+),[^ ]+') do call('DEL', side .. g) end
    call('SET', fence, 'FENCE 2 ' .. e .. ' ' .. v .. ' s ' .. format('%010.0f', tonumber(ARGV[7])) .. ' ' .. ats .. sub(rec, 77, 88) ..
      till .. string.rep('-', 27) .. ' ' .. ARGV[4] .. sub(rec, 142, 155) .. mine .. '|' .. gens)
    return version
  end
end
