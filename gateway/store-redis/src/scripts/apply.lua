-- Stands before the scripts that write: carries out the commands from an argument on, each as its number of words and the words. COUNT adds to a
-- field, and takes it away when nothing is left.
local function apply(at)
    local last = #ARGV
    while at <= last do
        local words = tonumber(ARGV[at])
        if ARGV[at + 1] == 'COUNT' then
            if redis.call('HINCRBY', ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]) <= 0 then
                redis.call('HDEL', ARGV[at + 2], ARGV[at + 3])
            end
        else
            redis.call(unpack(ARGV, at + 1, at + words))
        end
        at = at + words + 1
    end
end
