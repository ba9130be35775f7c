#!/usr/bin/perl
# demo-robot.pl PORT SECRET
#
# Stands in for DingTalk in the demo: hears messages at http://127.0.0.1:PORT, checks their signatures with openssl as
# DingTalk's documents have it, prints them, and answers as DingTalk does. Needs no module but those of perl-base.
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $secret) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 8, ReuseAddr => 1)
    or die "robot: port $port: $!\n";
$| = 1;
while (my $client = $server->accept) {
    my $request = <$client> // next;
    my $length = 0;
    while (defined(my $header = <$client>)) {
        last if $header =~ /^\r?\n$/;
        $length = $1 if $header =~ /^content-length:\s*(\d+)/i;
    }
    read($client, my $body, $length);
    my ($time) = $request =~ /[?&]timestamp=(\d+)/;
    my ($sign) = $request =~ /[?&]sign=([^& ]+)/;
    $sign //= "";
    $sign =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    my $script = 'printf "%s\n%s" "$1" "$2" | openssl dgst -sha256 -hmac "$2" -binary | openssl base64 -A';
    open(my $openssl, "-|", "bash", "-c", $script, "sign", $time // "", $secret) or die "robot: bash: $!\n";
    my $wanted = <$openssl> // "";
    close($openssl);
    my $signed = $sign eq $wanted;
    my ($text) = $body =~ /"content":"((?:[^"\\]|\\.)*)"/;
    $text //= $body;
    my %plain = (n => "\n", t => "\t", r => "");
    $text =~ s/\\(.)/exists $plain{$1} ? $plain{$1} : $1/ge;
    $text =~ s/\n(?=.)/\n   | /g;
    print "   | $text\n   | (signature ", $signed ? "good" : "WRONG", ")\n";
    my $answer = $signed ? '{"errcode":0,"errmsg":"ok"}' : '{"errcode":310000,"errmsg":"sign not match"}';
    print $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ", length($answer),
        "\r\nConnection: close\r\n\r\n$answer";
    close($client);
}
