-- Takes a duty, or keeps it. KEYS: the duty. ARGV: node, milliseconds. Gives 1 when the node has it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
