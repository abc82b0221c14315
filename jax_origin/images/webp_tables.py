"""The numbers that the format of lossy WebP fixes (RFC 6386), packed."""

import base64
import itertools
import zlib
from typing import Any

import numpy as np


def _packed(text: str, *shape: int) -> Any:
    """Bytes in an array of this shape, as nested lists: Python reads those fastest."""
    return np.frombuffer(zlib.decompress(base64.b85decode(text)), np.uint8).reshape(shape).tolist()


def _summed(differences: str) -> tuple[int, ...]:
    return tuple(itertools.accumulate(map(int, differences)))


# For each kind of block, band of frequencies and context the chances of a token's eleven branches.
TOKENS = _packed(
    "c-oDVUrbU_9LIMaduXezl@GnypRJ`n)Yelz)mm*d-Fm8(Tb6AtTMxdtoI@+M8f&#-rE?)=7MlN3{2Pc82Fm<{D0x9Z7!"
    "r{D6E1Ks{5toXfX6ydpL_QGeSiPX6^s9I(k&TqGX%diM8IVR;p1+-i(gv?z=&=pAh1Pn<jGFP=7TnjmzxZ%ZkTA%coL#"
    "O9L8E%2sj9e?pq+>A&72s5T*jf^DrNvzDH}cQ8&;O3mJ$}!J;e$JG8Q@JKJFDp$>0&2vNaca}<0|f@KXRn4#Gaf^0+aJ"
    "VL%rUEy!LW>PMD*<SjnNN4LEuy*h^bgtyplC;|<2fG+a!(elea>gXS^rjW&FqT)2L<Uqz1HMNM-t^k{h!$gI?Mh0o0|O"
    "Quy7oSzm}FN3!H+ojXv*rLFl@(&*~vzI+Bi+yd>rJMW$40qqs7T>sL1WXTYa&KPLd5Nli>9ehq@PGaQO%pibgn%35<fE"
    "1J8Gxgw;y?;B*lzs+{6xe}aR|fdezGVIC#m?*N{nL2yt`?@4frOE8VGf3G8|8Bgl4>f-($Tj$q6H~7S;f=#cElE~oI-I"
    "R$gt6emkn3|<s6a={qhLoc}#ejB#_?|CT1@#-?76fW8o7mo!%$6gm%aw!n<xq9R0|Cm?{NB)34%z7(hVuJFO?=kDT$;+"
    "_nd>0_-(x5+`zO>^S*RcCk14&M$J~7|DLz~LjCnm2Qh-H_9(Yo7YW5vA|5)wjP3zEy!;XvO-rnKZkg)F4*0^piX~kG~N"
    "gW;4q-+=qE;KT2il|Z$D4j_rMAjm0-Qq1q5FYd4dy2^DOvWw<%02wTJlVy=s%3Uc3%@WPsCXOw@CD|DHa8PsF_U^f^~Z"
    "U?k#t&8vks<Jx{KOCdUcJU<cgWs8^{lNqD&T&kJAT}AL?!%ck=iL`>v~H",
    *(4, 8, 3, 11),
)
"""Section 13.5."""

UPDATES = _packed(
    "c-pO#u@1s83`GC`Z<zTLri!&fpomhMICfxY?mW0EmGJa>iXHpnwzd<e891ccF{?tJppIr8)s>i`J``vT*cPBT)dkbU!V"
    "0GSqfoc@dt8XunsiMbODekF&T0dDxGR}c<oITK^4>TAxyD__{`v#ZixUs{a26zvGWAT6r*>P}<jp;c(g^oL7G7<^JR40"
    "OY5lLU5Q|mA6K5FAKVT+S<APe{W-!amET9)rY3kQi)YZ@_u1WT?1v^*vCXTKC0J*Rj@&",
    *(4, 8, 3, 11),
)
"""That a file brings one of its own instead; section 13.4."""

MODES = _packed(
    "c-jGk1AF}EcraOWad?<;n6p5Bs&+0$U#~@vP*qY$n`byW3ai?^5e=Af8WE!`!xajxc^FW`8a^yQRggytCacwuA{weLHx"
    "r1UA<joX6bN#1&<qLUQ78*wwp1MuB!;(HiDG4HrIbj!WP+V<AWKj}W~XCHJ}BydDK!bQ@r@b?Yf38`l1Zj97o9;SX`nM"
    "SA9H|cPYfH`|5p(QS42lFax)LQ7cVIeZnn1-5yC<(8D_=37ZMg&Sd*42E-l2(D`B^FRVE{|JtsBDR~i*7=&Lv)GiY*V9"
    "bHW)99642rCMS@A{KPc7a}XBNozJB8Z!Y=D<4D|Y8F7NB;j%*6BTBJybw%$J`zq}RXH*+Gr?sepVx0$E^j=PAFSKt6%u"
    "c7aZOdT|0Z~HC@KNO_0b9$ZCEQEjHcBkE1Eq&9-BigL;=xcPzWoU0W%s$j!sSx|9~RJt0^c2X4AI>0o^k)5vb9?7a3BD"
    "A0(?ArY0=qLsvSfQga$Rvp+jpv^%C<Nt!4q6?Bi$A}6me4-mH^-!Uz>E)gNO24W8&w>d5r7=Qsb5hXz&Npl>47l6$u0|"
    "|38z!C=ES0xE^J54|pFK9O`+6gu_g5p40M$ITG7aBP>IdHfIDJG`X9wHirm~;vth9?s>-5PQrN&g=SLFxhz0d`4CAPh6"
    "W|DY=~SRW%pW>q)3RX7zFZ#&H`CBQc(Mtn(T0U~03Vk%f@RdugYUsN?&fMjuHElW>(FEfBqs{uI?1xIE%H7PMBAq{ysN"
    "g4rFDGEc1O>SB*a&r{|3TFSN7Y1b=5DHa*WyBge5(;K!)glxtbrcUIqku#K8fHC5B_cH+^T0(sM<z*k9Nr~FEr22cFAM"
    "dnJ`oc}l2tc8MkOmHnq;F@paDM#T!<V%Ajwrr4+#lC|G0M$Rt6jeK>r!|0XPT|go*z*bbvY!6jFyd8hI$BG9QVWg&8B-"
    "GiNM=gL@wao>nM8hm_zgw}2KJ5rgoW4gt|E5EWZM-Uk82I29+GJc<`))l&=&Ho*TxFC0}GRaJn1Ad;&R3kN@ts{{o0BO"
    "3~muB!|hfWA;8W3*6yHZ4_tFITWLDHI@OOMr`Zl5~JoI4KXX>{TTRK1UuAcXs~~5{hLeJc>6)D;kcHBoiL1|6v;xiY+}"
    "p+W}F$Kp-g;b(fA56{Bzy3_ZhuFa#J20xty",
    *(10, 10, 9),
)
"""Chances of the branches of a 4x4 block's mode, by those above and to the left; section 11.5."""

DC_STEPS = _summed(
    "41111110111111101110101010110111111111111011111111101111111111111111111111111111110111111111"
    "111122212211222222224222222222323333"
)
"""Quantisation steps of constant terms by index; section 14.1."""

AC_STEPS = _summed(
    "41111111111111111111111111111111111111111111111111111112222222222222222222222222222233333333"
    "333333333334444444444444455645555555"
)
"""And of all others."""
