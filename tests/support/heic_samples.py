"""HEIC files, kept as text: no library that iqsr or its tests install can write HEIC (x265 is under the GPL).

Made once with pillow-heif 1.8.1. Quadrants: red (200, 30, 30), green (30, 160, 60) over blue (40, 60, 200),
light gray (240, 240, 240).
"""

from base64 import b85decode

_TURNED = """
0000OW^{RQXk}?*00000ZE0pPXk}?*000A_ZDn*}000000000XXk=`10000000000aA{+700000000000000000000G-
+&aV*mgE07O6l0ssL300003!2kgO0000000Aoi0ssI200is+0RR9100000HUIzsIB98aW&i*H00062000$fZf0cy000000RRAKc4
ILB0000LX>Mj^0ssI300IC2MR;ju000004sdC7Z2$lO0003100Q7?aB^?}00O^haAR)(004Gqc4I>U18@KU0FVFx0000U@BsY%`1
k+-4+CHT0RR|40Sp2E{{wIU00RJ!0009300RIXx&lC90096hLID8-
Z~y=U0FVFx0{{R603M(qfd!W8<fgf}2xu@M00096AOHXZ03l)k0RRR>0l{;?i2wir>|<|ia&U5QW&i*I;A~@Ua|9p&0Bvq`a#BY^
AXr&iAP3?A0{|2N2>=cN9bsd0a7|N2Q~&?~0CQn?b7ORJYybcN00000000000002?)&Kzj0002fEofnGWP;+Ta*K*T_a#2LlI|qd
t^fc4000000000000000000000000000000000003S?z-
V*mgE`~Uy|Bx7)LbN~PWAOHXWB6oCfbN~PWL;wH)6k}*%WB>pGSO5S3EOJ;`S^xk6ga7~l6lYjjS^xk6m;e9(6k=FeS^xk6tN;K2
6mnEjLjV8)zyJUMAZJukLjV8)zyJUMAYxQfLjV8)zyJUMAZ=`QV*mgE000000RR913}tRrQvd(}2mk;88~}3wPyjOkLv3tzV*mgE
000000RR913}tRrQvd(}1^@s68~{TALjW)U09aXCAOHXW0002?)&Kzj0002fEpuiwG5`Po0003DLI3~--
v9seB>(^ilK=qykpKVtq5uE>P5=M{ng9U66j)hWAOHXW0001k-
v9tTzW@LL09aXCAOHXW0000=zW@NSHvj+%wOCnNAOHXW0000eH~;_<3IG7ecyM8IVE_OC000930007JX#fE7rvLyASpWbN&;S4mT
L1t66lrsCWdHyG00000KmY&$KmY&$C}V74Z~y=RJpcdz0RR91EdT%j0ssI1{Qv*}0{{R2?EnA(0ssI25O8UDX#fBK00RgJ2mk;83
2Aa~bOQhY02yg;ZD9Za000000096227v+t1%!qG000_ka%E-!00000000hSWOHKx0ssL30RR92X>DX-bN~PWCny201o-
WFdYgaZumAtlne4vQN|bnbBSz^;yWvuKBEC&A5ik)#v`!HB6=jmHMJ06nSUil1UHLZJp%HW$REXMkEZx^RC*|vcoC5{VwymKtwB(
JIrnTYU9T_!p7wghzM%Cj!kPMYiA~`6;zITU|>8x{Uh}P3lp~Siy&uIgTFYw=gNWzFER*xH&UvKP%H~;)+kzZn#!{X)$MuBp$cpv
_;J3ApYN~xALF`R4G3J0c}Jz1TG8<%<wL$@G~gv9^i>?6|PNn|mrrpRN1+D{w0l~gTQ7(p{k*lBPcz8Q#-
!fWpKJ45|q9xk{;_+4Ldlq@a~VKs2Ct3~}ULhL?5uty@2;Vig#*h0Mo=bEeHNCzm2g-
y+^^H~CaTlu;400006MR;ju002!*04e|g00;mA0S^EI000050000c0TKWM0000100sa600000L1S%Y000
"""
_DEEP = """
0000SW^{RQXk}@500000ZE0pPXk}@5ZE0a<0004fZDn*}000000000XXk=`10000000000aA{+700000000000000000000B57=I
V*mgE07O6l0RRC200001p#T8@00000004gg001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t000010002}
X>f9I0002pX>en20001XXm(>m0R#vD005jg000009`FGC|N8m>01pFT0096OKmiN^|NjIC00093oHzgg0{{RXx&lC90096gLID8;
2mk;B0Gv1g00RI39*_hOAe$}K$xU-
`5YS*i000I+00093LSg^`00=|@!E+ce2#^2(025<xY;ta6Y<K_x01W^JfB*mh6lrsCWdHyG00000KmY&$KmY&$C}V74Z~y=RKmY&
$0RR91FaQ7m0RR91000000{{R2@Bjb+0ssI25O8UDX#fBK00RmN3IG5A7-
?{AVE_OC000000RRC7fdT^sga7~lhiznGbN~PVdnf^~2DoGrGyb5@|NqPD`XADRM{c7}yoHX<{3HGM<MDt0ta%%=xSNi8%=J8Dgn
#`>aV%eUutw9T-bnBJRSO+5hSzw}QQk#PR?x2s=|OBmXxb*#uzU)YxV(G(qzXjG2;BiIQS77~ZQ#Dy-aCALtDm<-kS-nI
"""
_ALPHA = """
0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0007OZDn*}000000000XXk=`10000000000aA{+700000000000000000000G-
+&aV*mgE07O6l0ssL300002j{pGx00000009U90ssI200Wl*0RR9100001Y5)KLIB98aW&i*H00062000$fZf0cy000000RRAKc4
ILB0000LX>Mj^0ssI200IC2Xm(>U000004sdC7Z2$lO0003100F9LaB^?}00Dw&aAR)(004Gqc4I>U18@KU0FVFx0000U@BsY%`1
k+-4+CHT0RR|40Sp2E{{wIU00RJ!0009300RIXx&lC90096hLID8-
Z~y=U0FVFx0{{R603M(qfd!W8<fgf}2xu@M00096AOHXZ03l)k0RRR>0l{;?i2wiq6Ju{|a&BX6cmM$a4FCp!0000KX>)L800000
0000$0000$0000eV{Bn?0000$000010000m000010000000002|NsB+000020000GaA|mH000000|*ER0001RXm(>m0R#vD005u(
000009`FGC{P_3)01pFT0096OKmiN^|NjIC00093pZEX(0{{RXx&lC90096cLID8;2mk;B0H62(00RI39>9VG7F(;5n&!ZO000bt
00093gkk^z00u+>!E?Zg0000EaA|mH000000SEv904HH}ctZdH004DzZaQsnWoJ5QWp-maGB7bUI$?EqX=FMv00000AZc)IVE_OC
000000ssL8fdT^sga85sh64wPga7~l8fkK6W&i*H000004q<h8YybiP0RRC200Me#WMOmw009Ij0j~u3+w$m^xBQt$|NBjT|Mf$1
+l{5CV~+#9(M$A_|Njrj_jSAdv8W<A6bkFK)g$#S{)mik_}Mm0)|)$s7o!m{!oHonLGb_ZWk?otM#%s1<otlYY`@3y8C>X1-
hUBty`Asp#nK<CQYML^>;}q$YR&vP*X8*>EBO1z_n^p6KBB@)u$kwI37qIKhXTpZhjZLSX3H|wbpu_D$igL^DR+-
upK!DHJU7Yxfmymb67l}I5?WE#5%cz=GQJe(D%`$Wu9gvCDgRwc8KX)OtS@_znblaraDHi@6hw_6@Vs-epBdNfyZ5nwrPwadqD$v
_;m#zse0cTv>Y57x00Cww0j>$~WHl+j`4j&U59_`U-)JAn<<&3nhx+*bfrhU?V%hZ2-wv(NF6Z-
sPta#ShRxoj%$)Std4|&Z19ua*ly%45;Hl<V>XZ^O^H!+KKRd0vv)}dqH6gyvw;S=a4gKfK-
`Jn8`mZgxt}pSm{g<@mfc{w=?141^^uQ&KoK->M+(&!>egUpAFoQ-
i!w{x~s&Jtog)jU`Ex$=?*aAM_ocTa)Q0HW#BM~0sjm9Qs?D2#{bDj^6eTFHPJ2+dpciZxH><`KT`ZxK@{~LO3H^>_e&GZC~K;g|
i8qDxwShi=Db)yT6F@%Ce>Hk~xzKIY_eQt{9@`1Fc@0p)5oQro+q-
*xeMCFyIT0d1O%lGYg^p9pg&AIUqDnGGo`e<*4zmGTnVz2$EzxoOv?(F5}e9||)zJE$R%@nR;ucQmAP(BT9Pe+eI9XsXET>y-
2ANpWl!%;t4d-+Ze-~
"""


def turned() -> bytes:
    """61 x 45 stored, shown turned by 90 degrees clockwise; Display-P3 profile, EXIF orientation 6."""
    return _bytes(_TURNED)


def deep() -> bytes:
    """64 x 48, 10 bit."""
    return _bytes(_DEEP)


def with_alpha() -> bytes:
    """64 x 48, opaque in the middle 32 x 24, transparent around."""
    return _bytes(_ALPHA)


def _bytes(text: str) -> bytes:
    return b85decode(text.replace("\n", ""))
