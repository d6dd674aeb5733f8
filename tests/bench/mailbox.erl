%% SPDX-License-Identifier: MIT
%% The same measurements in Erlang/OTP: mailbox:main(call | calls64 | casts, Seconds) prints the line of JSON that
%% bench_mailbox prints. call is gen_server's protocol without its library: a tagged request, a monitor, a tagged answer.
-module(mailbox).
-export([main/1, echo/0, count/2]).

main([Mode, Seconds]) ->
    Ns = round(number(atom_to_list(Seconds)) * 1.0e9),
    {Ops, Took} = measure(Mode, Ns),
    PerS = Ops * 1.0e9 / Took,
    io:format("{\"name\": \"erlang_~s\", \"per_s\": ~w, \"us\": ~.3f}~n", [Mode, round(PerS), 1.0e6 / PerS]),
    halt(0).

number(Text) ->
    case string:to_float(Text) of
        {error, no_float} -> list_to_integer(Text);
        {Value, _} -> Value
    end.

pad() -> <<0:448>>.

echo() ->
    receive
        {ask, From, Ref, N, Pad} ->
            From ! {answer, Ref, N, Pad},
            echo();
        stop -> ok
    end.

measure(call, Ns) ->
    Peer = spawn(?MODULE, echo, []),
    call(Peer, pad(), 0, erlang:monotonic_time(nanosecond), Ns);
measure(calls64, Ns) ->
    Peer = spawn(?MODULE, echo, []),
    Pad = pad(),
    [Peer ! {ask, self(), I, I, Pad} || I <- lists:seq(1, 64)],
    flight(Peer, Pad, 0, erlang:monotonic_time(nanosecond), Ns);
measure(casts, Ns) ->
    Peer = spawn(?MODULE, count, [self(), 0]),
    casts(Peer, pad(), 0, erlang:monotonic_time(nanosecond), Ns).

call(Peer, Pad, Ops, Began, Ns) ->
    Ref = erlang:monitor(process, Peer),
    Peer ! {ask, self(), Ref, Ops, Pad},
    receive
        {answer, Ref, _, _} -> erlang:demonitor(Ref, [flush])
    end,
    Took = erlang:monotonic_time(nanosecond) - Began,
    if Took < Ns -> call(Peer, Pad, Ops + 1, Began, Ns);
       true -> {Ops + 1, Took}
    end.

flight(Peer, Pad, Ops, Began, Ns) ->
    receive
        {answer, Ref, N, _} -> Peer ! {ask, self(), Ref, N, Pad}
    end,
    Took = erlang:monotonic_time(nanosecond) - Began,
    if Took < Ns -> flight(Peer, Pad, Ops + 1, Began, Ns);
       true -> {Ops + 1, Took}
    end.

%% A window as the mailbox has one: 4,096 at most are on their way.
casts(Peer, Pad, Ops, Began, Ns) ->
    window(Peer, Pad, 2048),
    receive room -> ok end,
    Took = erlang:monotonic_time(nanosecond) - Began,
    if Took < Ns -> casts(Peer, Pad, Ops + 2048, Began, Ns);
       true -> {Ops + 2048, Took}
    end.

window(_, _, 0) -> ok;
window(Peer, Pad, N) ->
    Peer ! {tell, N, Pad},
    window(Peer, Pad, N - 1).

count(To, N) ->
    receive
        {tell, _, _} when N rem 2048 =:= 2047 -> To ! room, count(To, N + 1);
        {tell, _, _} -> count(To, N + 1)
    end.
